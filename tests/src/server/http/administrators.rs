//! Routes that only administrators may use.

use protocol::{Credential, ROUTES};

use crate::server::{
    http::ask,
    test_app::{TestApp, on_a_fleet},
};

#[tokio::test]
async fn only_administrators_may_use_their_routes() {
    let (app, admin) = TestApp::start().await.with_administrator("ada").await;
    let ben = app.register("ben").await;
    let guest = app.guest("Gus").await;
    for route in ROUTES
        .iter()
        .filter(|route| route.needs == Credential::Administrator)
    {
        let path = route.path.replace(['{', '}'], "");
        for person in [&ben, &guest] {
            let bearer = format!("Bearer {}", person.access_token);
            let headers = [("authorization", bearer.as_str())];
            let method = route.method.as_str().parse().unwrap();
            let (status, _, _) = ask(&app, method, &path, &headers, "{}").await;
            assert_eq!(status, 403, "{} {}", route.method.as_str(), route.path);
        }
    }
    let listed = app.get("/api/v1/admin/instances", Some(&admin)).await;
    let listed = listed.expect(200);
    let instances = listed["instances"].as_array().unwrap();
    assert_eq!(instances.len(), if on_a_fleet() { 2 } else { 1 });
    let current = instances.iter().filter(|each| each["current"] == true);
    assert_eq!(current.count(), 1);
    app.stop().await;
}
