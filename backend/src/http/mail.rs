//! What follows from emails: `auth/forgot`, `auth/reset`, `auth/verify-email` and `mail/unsubscribe`.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use protocol::{ForgotPassword, Language, ResetPassword, Unsubscribe, VerifyEmail};

use super::request::{JsonBody, Query};
use crate::{
    accounts::sessions::Device,
    app::{App, SharedApp},
    error::AppError,
    limits::{Tier, network::Network, tiers},
    mail::AccountMail,
};

fn of(app: &App) -> Result<&Arc<AccountMail>, AppError> {
    let found = app.account_mail.as_ref();
    found.ok_or_else(|| AppError::not_found("route"))
}

/// Counts an email that somebody has sent to an address, where there are emails.
///
/// # Errors
/// `rate_limited` if there are too many from their own address.
pub(super) async fn count_email(app: &App, device: &Device) -> Result<(), AppError> {
    if app.account_mail.is_some() {
        let who = tiers::of_network(Network::from(device.address));
        let now = Instant::now();
        app.limits.take(Tier::Emails, who, 1, now).await?;
    }
    Ok(())
}

pub async fn forgot(
    State(app): State<SharedApp>,
    device: Device,
    JsonBody(request): JsonBody<ForgotPassword>,
) -> Result<StatusCode, AppError> {
    let emails = of(&app)?;
    count_email(&app, &device).await?;
    emails.forgot(request).await?;
    Ok(StatusCode::ACCEPTED)
}

pub async fn reset(
    State(app): State<SharedApp>,
    device: Device,
    JsonBody(request): JsonBody<ResetPassword>,
) -> Result<StatusCode, AppError> {
    of(&app)?.reset(request, device.address).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn verify(
    State(app): State<SharedApp>,
    JsonBody(request): JsonBody<VerifyEmail>,
) -> Result<StatusCode, AppError> {
    of(&app)?.verify(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a person sees who follows the link: nothing ends before they say so, since programs follow links too.
pub async fn ask_unsubscribe() -> Response {
    page(
        Language::En,
        "<form method=\"post\"><p>Do you want no more emails about what you missed?</p>\
         <p lang=\"es\">¿No quieres más cartas sobre lo que te has perdido?</p><button>OK</button></form>",
    )
}

/// One click, of a person or of their mail program.
pub async fn unsubscribe(
    State(app): State<SharedApp>,
    Query(request): Query<Unsubscribe>,
) -> Result<Response, AppError> {
    let language = of(&app)?.unsubscribe(&request.token).await?;
    let said = match language {
        Language::En => {
            "<p>You get no more such emails. Your preferences have a switch for them.</p>"
        }
        Language::Es => {
            "<p>No recibirás más cartas así. En tus preferencias puedes volver a activarlas.</p>"
        }
    };
    Ok(page(language, said))
}

fn page(language: Language, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"{}\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Tertulia</title><body>{body}</body></html>\n",
        language.code()
    );
    let policy = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, html).into_response()
}
