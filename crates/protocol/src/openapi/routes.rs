//! The table of routes. The server's router serves these and no others under `/api` and for
//! health; a test there proves it.

use serde_json::{Map, Value};

use super::Method::{Delete, Get, Patch, Post, Put};
use super::{Content, Credential, Method, Route};
use crate::api_key::{ApiKeyCreated, ApiKeyPage, CreateApiKey};
use crate::audit::{AuditEntry, ExportAudit, ListAudit};
use crate::circuit::{CircuitBody, CircuitPage, SetCircuit};
use crate::error::ErrorCode::{self, Conflict, Forbidden, NotFound, Unauthenticated};
use crate::health::HealthReport;
use crate::history::{
    EventPage, EventsQuery, HistoryQuery, MessagesFound, SearchQuery, message_page,
};
use crate::id::{
    ApiKeyId, AttachmentId, CircuitName, DeviceId, NotificationId, RoomId, SessionId, UserId,
};
use crate::instance::InstancePage;
use crate::job::{DeadJob, DeadJobsSettled, ListDeadJobs, SettleDeadJobs};
use crate::member::{ListMembers, MemberBody, MemberPage, PutMember};
use crate::message::{MessageSent, PostMessage};
use crate::notification::{
    ListNotifications, NotificationPage, Preferences, PushKey, PutDevice, RoomPreferences,
    UpdatePreferences,
};
use crate::page::NumberedPage;
use crate::publish::PublishRequest;
use crate::rate_limit::{RateLimitStates, RateLimitSubject};
use crate::rollup::{ListRollups, RollupPage};
use crate::room::{CreateRoom, ListMyRooms, ListRooms, RoomBody, RoomPage, UpdateRoom};
use crate::schema::{SchemaOf, schema_of};
use crate::session::SessionPage;
use crate::tokens::{
    ForgotPassword, GuestRequest, LoginRequest, PasswordChange, RefreshRequest, RegisterRequest,
    ResetPassword, Tokens, Unsubscribe, VerifyEmail,
};
use crate::upload::{CreateUpload, MediaQuery, UploadBody, UploadCreated};
use crate::user::{ListBlocks, ListUsers, SetAvatar, UpdateMe, UserBody, UserPage};

const TOKENS: Content = Content::Json(schema_of::<Tokens>);
const USER: Content = Content::Json(schema_of::<UserBody>);
const ROOM: Content = Content::Json(schema_of::<RoomBody>);
const ROOMS: Content = Content::Json(schema_of::<RoomPage>);
const PREFERENCES: Content = Content::Json(schema_of::<Preferences>);
const UPLOAD: Content = Content::Json(schema_of::<UploadBody>);
const HEALTH: Content = Content::Json(schema_of::<HealthReport>);
const DOCUMENT: Content = Content::Json(schema_of::<Map<String, Value>>);

/// Every route of the application's listener, but for the transport and the web client.
pub const ROUTES: &[Route] = &[
    route(
        Post,
        "/api/v1/auth/register",
        "register",
        "Create an account and sign in",
    )
    .open()
    .body(schema_of::<RegisterRequest>)
    .answers(&[(201, TOKENS)])
    .refuses(&[Conflict]),
    route(Post, "/api/v1/auth/login", "login", "Sign in")
        .open()
        .body(schema_of::<LoginRequest>)
        .answers(&[(200, TOKENS)])
        .refuses(&[Unauthenticated]),
    route(
        Post,
        "/api/v1/auth/guest",
        "comeAsGuest",
        "Sign in as a guest, without an account",
    )
    .open()
    .body(schema_of::<GuestRequest>)
    .answers(&[(201, TOKENS)])
    .refuses(&[Forbidden]),
    route(
        Post,
        "/api/v1/auth/refresh",
        "refresh",
        "Exchange a refresh token for new tokens",
    )
    .open()
    .body(schema_of::<RefreshRequest>)
    .answers(&[(200, TOKENS)])
    .refuses(&[Unauthenticated]),
    route(
        Post,
        "/api/v1/auth/logout",
        "logout",
        "End the current session",
    ),
    route(
        Post,
        "/api/v1/auth/forgot",
        "forgotPassword",
        "Ask for a link with which a forgotten password is replaced",
    )
    .open()
    .body(schema_of::<ForgotPassword>)
    .answers(&[(202, Content::Empty)])
    .refuses(&[NotFound]),
    route(
        Post,
        "/api/v1/auth/reset",
        "resetPassword",
        "Replace a forgotten password",
    )
    .open()
    .body(schema_of::<ResetPassword>)
    .refuses(&[NotFound]),
    route(
        Post,
        "/api/v1/auth/verify-email",
        "verifyEmail",
        "Confirm an e-mail address",
    )
    .open()
    .body(schema_of::<VerifyEmail>)
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/mail/unsubscribe",
        "askUnsubscribe",
        "Ask whether emails about notifications are to end",
    )
    .open()
    .answers(&[(200, Content::Page)]),
    route(
        Post,
        "/api/v1/mail/unsubscribe",
        "unsubscribe",
        "End emails about notifications",
    )
    .open()
    .query(schema_of::<Unsubscribe>)
    .answers(&[(200, Content::Page)])
    .refuses(&[NotFound]),
    route(Get, "/api/v1/me", "getMe", "Get your own user").answers(&[(200, USER)]),
    route(Patch, "/api/v1/me", "updateMe", "Update your own user")
        .body(schema_of::<UpdateMe>)
        .answers(&[(200, USER)])
        .refuses(&[Forbidden]),
    route(Delete, "/api/v1/me", "deleteMe", "Delete your account"),
    route(
        Post,
        "/api/v1/me/password",
        "changePassword",
        "Change your password",
    )
    .body(schema_of::<PasswordChange>)
    .refuses(&[Forbidden, Conflict]),
    route(
        Get,
        "/api/v1/me/rooms",
        "listMyRooms",
        "List your rooms, with unread counts",
    )
    .query(schema_of::<ListMyRooms>)
    .answers(&[(200, ROOMS)]),
    route(
        Put,
        "/api/v1/me/avatar",
        "setAvatar",
        "Make one of your uploads your avatar",
    )
    .body(schema_of::<SetAvatar>)
    .answers(&[(200, USER)])
    .refuses(&[NotFound, Conflict]),
    route(
        Get,
        "/api/v1/me/preferences",
        "getPreferences",
        "Get how you want to be notified",
    )
    .answers(&[(200, PREFERENCES)])
    .refuses(&[NotFound]),
    route(
        Patch,
        "/api/v1/me/preferences",
        "updatePreferences",
        "Change how you want to be notified",
    )
    .body(schema_of::<UpdatePreferences>)
    .answers(&[(200, PREFERENCES)])
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/notifications",
        "listNotifications",
        "List your notifications, the newest first",
    )
    .query(schema_of::<ListNotifications>)
    .answers(&[(200, Content::Json(schema_of::<NotificationPage>))])
    .refuses(&[NotFound]),
    route(
        Post,
        "/api/v1/notifications/{notificationId}/read",
        "readNotification",
        "Mark a notification as read",
    )
    .refuses(&[NotFound]),
    route(
        Post,
        "/api/v1/notifications/read-all",
        "readAllNotifications",
        "Mark all your notifications as read",
    )
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/push/key",
        "getPushKey",
        "Get the key with which a browser subscribes to push",
    )
    .open()
    .answers(&[(200, Content::Json(schema_of::<PushKey>))])
    .refuses(&[NotFound]),
    route(
        Put,
        "/api/v1/devices/{deviceId}",
        "putDevice",
        "Register this device for push",
    )
    .body(schema_of::<PutDevice>)
    .refuses(&[NotFound]),
    route(
        Delete,
        "/api/v1/devices/{deviceId}",
        "deleteDevice",
        "Remove a device from push",
    )
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/rooms/{roomId}/preferences",
        "getRoomPreferences",
        "Get what you are notified of in a room",
    )
    .answers(&[(200, Content::Json(schema_of::<RoomPreferences>))])
    .refuses(&[NotFound, Forbidden]),
    route(
        Put,
        "/api/v1/rooms/{roomId}/preferences",
        "putRoomPreferences",
        "Set what you are notified of in a room",
    )
    .body(schema_of::<RoomPreferences>)
    .refuses(&[NotFound, Forbidden]),
    route(
        Get,
        "/api/v1/me/blocks",
        "listBlocks",
        "List the users you have blocked",
    )
    .query(schema_of::<ListBlocks>)
    .answers(&[(200, Content::Json(schema_of::<UserPage>))]),
    route(
        Put,
        "/api/v1/me/blocks/{userId}",
        "blockUser",
        "Block a user",
    )
    .refuses(&[NotFound, Conflict]),
    route(
        Delete,
        "/api/v1/me/blocks/{userId}",
        "unblockUser",
        "Unblock a user",
    ),
    route(Get, "/api/v1/users", "listUsers", "Search users by name")
        .query(schema_of::<ListUsers>)
        .answers(&[(200, Content::Json(schema_of::<UserPage>))]),
    route(Get, "/api/v1/users/{userId}", "getUser", "Get a user")
        .answers(&[(200, USER)])
        .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/sessions",
        "listSessions",
        "List your sessions",
    )
    .answers(&[(200, Content::Json(schema_of::<SessionPage>))]),
    route(
        Delete,
        "/api/v1/sessions",
        "deleteOtherSessions",
        "End all your sessions but the current one",
    ),
    route(
        Get,
        "/api/v1/admin/users/{userId}/sessions",
        "listUserSessions",
        "List a user's sessions",
    )
    .for_administrators()
    .answers(&[(200, Content::Json(schema_of::<SessionPage>))])
    .refuses(&[NotFound]),
    route(
        Delete,
        "/api/v1/admin/users/{userId}/sessions",
        "deleteUserSessions",
        "End all of a user's sessions",
    )
    .for_administrators()
    .refuses(&[NotFound]),
    route(
        Delete,
        "/api/v1/admin/users/{userId}/sessions/{sessionId}",
        "deleteUserSession",
        "End one of a user's sessions",
    )
    .for_administrators()
    .refuses(&[NotFound]),
    route(
        Delete,
        "/api/v1/sessions/{sessionId}",
        "deleteSession",
        "End one of your sessions",
    )
    .refuses(&[NotFound]),
    route(
        Post,
        "/api/v1/rooms",
        "createRoom",
        "Create a room, or get the direct room of two users",
    )
    .body(schema_of::<CreateRoom>)
    .answers(&[(201, ROOM)])
    .refuses(&[Forbidden, NotFound, Conflict]),
    route(Get, "/api/v1/rooms", "listRooms", "List public rooms")
        .query(schema_of::<ListRooms>)
        .answers(&[(200, ROOMS)]),
    route(Get, "/api/v1/rooms/{roomId}", "getRoom", "Get a room")
        .answers(&[(200, ROOM)])
        .refuses(&[NotFound]),
    route(
        Patch,
        "/api/v1/rooms/{roomId}",
        "updateRoom",
        "Update a room",
    )
    .body(schema_of::<UpdateRoom>)
    .answers(&[(200, ROOM)])
    .refuses(&[Forbidden, NotFound]),
    route(
        Delete,
        "/api/v1/rooms/{roomId}",
        "deleteRoom",
        "Delete a room and everything in it",
    )
    .refuses(&[Forbidden, NotFound]),
    route(
        Get,
        "/api/v1/rooms/{roomId}/members",
        "listMembers",
        "List the members of a room",
    )
    .query(schema_of::<ListMembers>)
    .answers(&[(200, Content::Json(schema_of::<MemberPage>))])
    .refuses(&[NotFound]),
    route(
        Put,
        "/api/v1/rooms/{roomId}/members/{userId}",
        "putMember",
        "Add a user to a room, or change a member's role",
    )
    .body(schema_of::<PutMember>)
    .answers(&[(200, Content::Json(schema_of::<MemberBody>))])
    .refuses(&[Forbidden, NotFound, Conflict]),
    route(
        Delete,
        "/api/v1/rooms/{roomId}/members/{userId}",
        "deleteMember",
        "Leave a room, or remove a member",
    )
    .refuses(&[Forbidden, NotFound, Conflict]),
    route(
        Get,
        "/api/v1/rooms/{roomId}/messages",
        "listMessages",
        "Get a page of messages",
    )
    .query(schema_of::<HistoryQuery>)
    .answers(&[(200, Content::Json(message_page))])
    .refuses(&[NotFound]),
    route(
        Post,
        "/api/v1/rooms/{roomId}/messages",
        "postMessage",
        "Send a message",
    )
    .idempotent()
    .body(schema_of::<PostMessage>)
    .answers(&[(201, Content::Json(schema_of::<MessageSent>))])
    .refuses(&[Forbidden, NotFound, Conflict]),
    route(
        Get,
        "/api/v1/rooms/{roomId}/events",
        "listEvents",
        "Get a page of a room's event log",
    )
    .query(schema_of::<EventsQuery>)
    .answers(&[(200, Content::Json(schema_of::<EventPage>))])
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/rooms/{roomId}/search",
        "searchMessages",
        "Search a room's messages",
    )
    .query(schema_of::<SearchQuery>)
    .answers(&[(200, Content::Json(schema_of::<MessagesFound>))])
    .refuses(&[NotFound]),
    route(
        Post,
        "/api/v1/publish",
        "publish",
        "Publish an event to connected clients, from another program",
    )
    .with_api_key()
    .body(schema_of::<PublishRequest>)
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/admin/instances",
        "listInstances",
        "List the live instances",
    )
    .for_administrators()
    .answers(&[(200, Content::Json(schema_of::<InstancePage>))]),
    route(
        Get,
        "/api/v1/admin/keys",
        "listApiKeys",
        "List the keys of other programs",
    )
    .for_administrators()
    .answers(&[(200, Content::Json(schema_of::<ApiKeyPage>))]),
    route(
        Post,
        "/api/v1/admin/keys",
        "createApiKey",
        "Create a key for another program",
    )
    .for_administrators()
    .body(schema_of::<CreateApiKey>)
    .answers(&[(201, Content::Json(schema_of::<ApiKeyCreated>))])
    .refuses(&[Conflict]),
    route(
        Delete,
        "/api/v1/admin/keys/{keyId}",
        "deleteApiKey",
        "Revoke a key of another program",
    )
    .for_administrators()
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/admin/circuits",
        "listCircuits",
        "List the circuit breakers",
    )
    .for_administrators()
    .answers(&[(200, Content::Json(schema_of::<CircuitPage>))]),
    route(
        Put,
        "/api/v1/admin/circuits/{circuitName}",
        "setCircuit",
        "Open, close or reset a circuit breaker on all instances",
    )
    .for_administrators()
    .body(schema_of::<SetCircuit>)
    .answers(&[(200, Content::Json(schema_of::<CircuitBody>))])
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/admin/rate-limits",
        "readRateLimits",
        "Show the rate limits of a user, an address or an API key",
    )
    .for_administrators()
    .query(schema_of::<RateLimitSubject>)
    .answers(&[(200, Content::Json(schema_of::<RateLimitStates>))]),
    route(
        Delete,
        "/api/v1/admin/rate-limits",
        "clearRateLimits",
        "Clear the rate limits of a user, an address or an API key on every instance",
    )
    .for_administrators()
    .query(schema_of::<RateLimitSubject>),
    route(
        Get,
        "/api/v1/admin/jobs",
        "listDeadJobs",
        "List jobs that failed for good, the latest first",
    )
    .for_administrators()
    .query(schema_of::<ListDeadJobs>)
    .answers(&[(200, Content::Json(schema_of::<NumberedPage<DeadJob>>))])
    .refuses(&[NotFound]),
    route(
        Post,
        "/api/v1/admin/jobs",
        "settleDeadJobs",
        "Enqueue jobs that failed for good again, or forget them",
    )
    .for_administrators()
    .body(schema_of::<SettleDeadJobs>)
    .answers(&[(200, Content::Json(schema_of::<DeadJobsSettled>))])
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/admin/rollups",
        "listRollups",
        "Read what happened on each day that is over",
    )
    .for_administrators()
    .query(schema_of::<ListRollups>)
    .answers(&[(200, Content::Json(schema_of::<RollupPage>))])
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/admin/audit",
        "listAudit",
        "Read the audit log by pages, the newest entries first",
    )
    .for_administrators()
    .query(schema_of::<ListAudit>)
    .answers(&[(200, Content::Json(schema_of::<NumberedPage<AuditEntry>>))])
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/admin/audit/export",
        "exportAudit",
        "Export the audit log, an entry on each line, the oldest first",
    )
    .for_administrators()
    .query(schema_of::<ExportAudit>)
    .answers(&[(200, Content::JsonLines(schema_of::<AuditEntry>))])
    .refuses(&[NotFound]),
    route(
        Post,
        "/api/v1/uploads",
        "createUpload",
        "Begin an upload of a file or an image",
    )
    .body(schema_of::<CreateUpload>)
    .answers(&[(201, Content::Json(schema_of::<UploadCreated>))])
    .refuses(&[NotFound]),
    route(
        Get,
        "/api/v1/uploads/{uploadId}",
        "getUpload",
        "Get one of your uploads",
    )
    .answers(&[(200, UPLOAD)]),
    route(
        Post,
        "/api/v1/uploads/{uploadId}/complete",
        "completeUpload",
        "Say that all bytes of an upload have been sent; an image is processed then",
    )
    .answers(&[(202, UPLOAD)])
    .refuses(&[Conflict]),
    route(
        Put,
        "/media/uploads/{uploadId}",
        "putUpload",
        "Send the bytes of an upload, as the answer to its beginning says",
    )
    .open()
    .query(schema_of::<MediaQuery>)
    .refuses(&[Conflict]),
    route(
        Get,
        "/media/{key}",
        "getMedia",
        "Get an image or a file, by a URL of a message",
    )
    .open()
    .query(schema_of::<MediaQuery>)
    .answers(&[(200, Content::Bytes)]),
    route(
        Get,
        "/health",
        "health",
        "Report the health of the server and its dependencies",
    )
    .open()
    .answers(&[(200, HEALTH), (503, HEALTH)]),
    route(
        Get,
        "/health/live",
        "healthLive",
        "Report whether the process is alive",
    )
    .open()
    .answers(&[(200, HEALTH)]),
    route(
        Get,
        "/health/ready",
        "healthReady",
        "Report whether the server is ready for requests",
    )
    .open()
    .answers(&[(200, HEALTH), (503, HEALTH)]),
    route(Get, "/live", "live", "The same as `/health/live`")
        .open()
        .answers(&[(200, HEALTH)]),
    route(Get, "/ready", "ready", "The same as `/health/ready`")
        .open()
        .answers(&[(200, HEALTH), (503, HEALTH)]),
    route(Get, "/api/docs", "docs", "The HTTP API as a page")
        .open()
        .answers(&[(200, Content::Page)]),
    route(
        Get,
        "/api/docs/events",
        "eventDocs",
        "The Socket.IO events as a page",
    )
    .open()
    .answers(&[(200, Content::Page)]),
    route(
        Get,
        "/api/openapi.json",
        "openapi",
        "The OpenAPI document of the HTTP API",
    )
    .open()
    .answers(&[(200, DOCUMENT)]),
    route(
        Get,
        "/api/asyncapi.json",
        "asyncapi",
        "The AsyncAPI document of the Socket.IO events",
    )
    .open()
    .answers(&[(200, DOCUMENT)]),
];

/// A route that needs a token and answers with nothing, until said otherwise.
const fn route(
    method: Method,
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
) -> Route {
    Route {
        method,
        path,
        operation,
        summary,
        needs: Credential::AccessToken,
        idempotency_key: false,
        query: None,
        body: None,
        answers: &[(204, Content::Empty)],
        refusals: &[],
    }
}

impl Route {
    const fn open(self) -> Self {
        Self {
            needs: Credential::Nothing,
            ..self
        }
    }

    const fn for_administrators(self) -> Self {
        Self {
            needs: Credential::Administrator,
            ..self
        }
    }

    const fn with_api_key(self) -> Self {
        Self {
            needs: Credential::ApiKey,
            ..self
        }
    }

    const fn idempotent(self) -> Self {
        Self {
            idempotency_key: true,
            ..self
        }
    }

    const fn query(self, query: SchemaOf) -> Self {
        Self {
            query: Some(query),
            ..self
        }
    }

    const fn body(self, body: SchemaOf) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }

    const fn answers(self, answers: &'static [(u16, Content)]) -> Self {
        Self { answers, ..self }
    }

    const fn refuses(self, refusals: &'static [ErrorCode]) -> Self {
        Self { refusals, ..self }
    }
}

/// The type of a parameter in a path.
pub(super) fn path_parameter(name: &str) -> Option<SchemaOf> {
    match name {
        "roomId" => Some(schema_of::<RoomId>),
        "userId" => Some(schema_of::<UserId>),
        "keyId" => Some(schema_of::<ApiKeyId>),
        "circuitName" => Some(schema_of::<CircuitName>),
        "uploadId" => Some(schema_of::<AttachmentId>),
        "key" => Some(schema_of::<String>),
        "sessionId" => Some(schema_of::<SessionId>),
        "notificationId" => Some(schema_of::<NotificationId>),
        "deviceId" => Some(schema_of::<DeviceId>),
        _ => None,
    }
}
