// Swagger UI over the server's own OpenAPI document.

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

/** Routes that answer with tokens. */
const SIGNS_IN = /\/api\/v1\/auth\/(register|login|guest|refresh)$/;

/** Names the field of a request's body, which has no label. */
const labelled = ({ React }) => ({
  wrapComponents: { TextArea: (TextArea) => (props) => React.createElement(TextArea, { "aria-label": "Request body", ...props }) },
});

const viewer = SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#viewer",
  plugins: [labelled],
  deepLinking: true,
  displayRequestDuration: true,
  // The numbers of the default theme are too dark.
  syntaxHighlight: { theme: "tomorrow-night" },
  // Its default sends the document to a validator elsewhere.
  validatorUrl: null,
  // Whoever signs in here needn't copy the token into the other routes. It is kept in memory alone.
  responseInterceptor(response) {
    if (response.ok && SIGNS_IN.test(response.url)) viewer.preauthorizeApiKey("accessToken", response.body.accessToken);
    return response;
  },
});
