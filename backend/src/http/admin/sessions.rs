//! `admin/users/{userId}/sessions`: the sessions of any user.

use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{SessionId, SessionPage, UserId};

use crate::{
    accounts::sessions,
    app::SharedApp,
    error::AppError,
    http::request::{Administrator, Path},
};

pub async fn list(
    State(app): State<SharedApp>,
    Administrator(actor): Administrator,
    Path(user): Path<UserId>,
) -> Result<Json<SessionPage>, AppError> {
    let page = sessions::list_of_user(&app.accounts, &actor, &user).await?;
    Ok(Json(page))
}

pub async fn delete_all(
    State(app): State<SharedApp>,
    _: Administrator,
    Path(user): Path<UserId>,
) -> Result<StatusCode, AppError> {
    sessions::end_all_of_user(&app.accounts, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn delete(
    State(app): State<SharedApp>,
    _: Administrator,
    Path((user, session)): Path<(UserId, SessionId)>,
) -> Result<StatusCode, AppError> {
    sessions::end_one_of_user(&app.accounts, &user, &session).await?;
    Ok(StatusCode::NO_CONTENT)
}
