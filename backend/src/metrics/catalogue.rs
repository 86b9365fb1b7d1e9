//! Every metric of the server. docs/metrics.md is written from this list.

use telemetry::{Kind, LATENCY_SECONDS, Metric};

/// Metrics without labels, or with those named.
macro_rules! metrics {
    ($($kind:ident $constant:ident $name:literal [$($label:literal)*] $help:literal)*) => {
        $(#[doc = $help]
        pub const $constant: Metric = Metric {
            name: concat!("tertulia_", $name),
            kind: metrics!(@ $kind),
            labels: &[$($label),*],
            help: $help,
        };)*
    };
    (@ counter) => { Kind::Counter };
    (@ gauge) => { Kind::Gauge };
    (@ latency) => { Kind::Histogram(LATENCY_SECONDS) };
}

metrics! {
    gauge CONNECTIONS "connections" ["transport"] "Connections open now, by transport: websocket, polling"
    counter OPENED "connections_opened_total" [] "Connections opened"
    counter CLOSED "connections_closed_total" ["reason"] "Connections closed, by the reason"
    counter HEARTBEATS_MISSED "heartbeats_missed_total" [] "Of these, those closed because a ping stayed unanswered, or a poll's request unfinished for as long"
    counter REFUSED "connections_refused_total" ["reason"] "Connections refused before they opened, by the reason"
    gauge HTTP_CONNECTIONS "http_connections" ["kind"] "TCP connections that aren't a WebSocket (yet): ordinary, spare (beyond the bound, for handshakes and health only), internal (of other instances)"
    gauge QUEUE_CONNECTIONS "queue_connections" [] "Connections for which something is queued"
    gauge QUEUE_FRAMES "queue_frames" [] "Frames queued for them"
    gauge QUEUE_BYTES "queue_bytes" [] "Bytes queued for them, and 128 bytes for each frame"
    gauge BUDGET_USED "byte_budget_used_bytes" ["budget"] "Bytes held of what all clients may make the server hold, in steps of 16 KiB each: unfinished messages before the first namespace (first_input) and after (input), queues of clients that don't read (queues), unfinished request bodies (bodies)"
    gauge BUDGET_MAX "byte_budget_max_bytes" ["budget"] "Bytes that may be held of each"
    latency ACK_SECONDS "ack_seconds" ["event"] "Time from reading an event to queueing its ack"
    counter EVENTS "events_total" [] "Events received from clients"
    counter UNREADABLE "events_unreadable_total" [] "Of these, those without a readable name"
    counter REFUSED_INPUT "connections_input_refused_total" [] "Connections closed because the unfinished messages of all connections exceeded their bound"
    counter OVERLOADED "events_overloaded_total" [] "Events refused for their rate, or because too many were in flight"
    counter DELIVERIES "deliveries_total" [] "Recipients of published events"
    counter LAGGED "lagged_total" [] "Times that a connection fell behind on a topic and had to resynchronise"
    counter DROPPED "frames_dropped_total" [] "Frames that weren't queued: volatile ones for slow consumers, and those of topics on which a connection had fallen behind"
    gauge TOPICS "topics" [] "Topics with subscribers"
    gauge TUNNELS "tunnels" [] "WebSockets open here whose connections are another instance's"
    counter TUNNELLED "tunnelled_total" ["kind"] "Requests passed on to the instance that has their connection"
    counter TUNNELS_FAILED "tunnels_failed_total" [] "Of these, those whose instance couldn't be reached or was lost before it answered"
    counter TUNNELS_REFUSED "tunnels_refused_total" [] "Requests to the internal listener without a valid, fresh signature of another instance"
}

const GATEWAY: &[Metric] = &[
    CONNECTIONS,
    OPENED,
    CLOSED,
    HEARTBEATS_MISSED,
    REFUSED,
    HTTP_CONNECTIONS,
    QUEUE_CONNECTIONS,
    QUEUE_FRAMES,
    QUEUE_BYTES,
    BUDGET_USED,
    BUDGET_MAX,
    EVENTS,
    ACK_SECONDS,
    UNREADABLE,
    REFUSED_INPUT,
    OVERLOADED,
    DELIVERIES,
    LAGGED,
    DROPPED,
    TOPICS,
    TUNNELS,
    TUNNELLED,
    TUNNELS_FAILED,
    TUNNELS_REFUSED,
];

metrics! {
    gauge USERS "users_online" [] "Users with connections here"
    counter COMPARED "memberships_compared_total" [] "Pairs of a room and a subscribed user that were compared with the room's members"
    counter REMOVED "memberships_ended_unheard_total" [] "Of these, those whose user had ceased to be a member without this instance having been notified"
    counter UNANSWERED "memberships_unanswered_total" [] "Batches of such pairs that the store couldn't answer, and that were asked for again"
    gauge ROOMS "rooms" [] "Rooms that have subscribers here, or had some a moment ago"
    latency DELIVERY "delivery_seconds" [] "Time from a durable event's being given its seq to its being queued for its subscribers here"
    counter HTTP_REQUESTS "http_requests_total" ["method" "route" "status"] "HTTP requests by the class of their status, such as 4xx; polls and handshakes of the transport aren't counted"
    latency HTTP_SECONDS "http_request_seconds" ["method" "route"] "Time to answer them"
    gauge HTTP_UNFINISHED "http_requests_unfinished" [] "Requests of the API that have begun and aren't answered, publications apart"
    counter HTTP_REFUSED "http_requests_refused_total" ["reason"] "Requests refused because their user or address had too many unfinished ones (too_many_at_once), or for the program that made them (user_agent)"
}

metrics! {
    latency STORE_SECONDS "store_seconds" ["operation"] "Time that the store's operations took; an append or a change takes from its call until it is durable"
    counter STORE_FAILURES "store_failures_total" ["operation"] "Of these, those that failed for a reason that wasn't the requester's: unavailable, corrupt or a fault of the server"
    gauge STORE_QUEUED "store_queued_writes" [] "Writes that were accepted and aren't completed"
    gauge STORE_QUEUED_BYTES "store_queued_bytes" [] "What these hold in memory"
    counter STORE_REFUSED "store_refused_writes_total" [] "Writes refused because the queue was full or closed"
    counter STORE_GROUPS "store_groups_total" [] "Groups in which writes were made durable: transactions of SQLite, rounds of messages and transactions of changes on MongoDB"
    counter STORE_GROUPED "store_grouped_writes_total" [] "Writes in them"
    gauge SQLITE_READS "sqlite_reads" [] "Reads that run or wait for a connection to SQLite"
    gauge SQLITE_WAL "sqlite_wal_bytes" [] "Size of the write-ahead log after the last commit"
    counter MONGODB_MESSAGES "mongodb_messages_total" ["outcome"] "Messages by what became of them: stored, duplicate (stored before under the same clientId) or failed"
    counter MONGODB_COLLIDED "mongodb_collided_total" [] "Messages whose seq turned out to be another entry's and that were given a new one"
    counter MONGODB_UNKNOWN "mongodb_unknown_total" [] "Attempts to insert a message whose outcome wasn't known at first"
    counter MONGODB_GAPS_FILLED "mongodb_gaps_filled_total" ["reason"] "Reserved seqs that were filled with a tombstone: abandoned by a writer, or not needed"
    gauge MONGODB_ROOMS_WITH_GAPS "mongodb_rooms_with_gaps" [] "Rooms watched here because their logs have a gap"
    counter COUNTERS_RESTORED "seq_counters_restored_total" [] "Counters of rooms that were missing in Redis and were set from the log"
    counter DEGRADED_RESERVATIONS "seq_reservations_degraded_total" [] "Reservations of seqs made from the log because Redis couldn't be asked"
}

const STORE: &[Metric] = &[
    STORE_SECONDS,
    STORE_FAILURES,
    STORE_QUEUED,
    STORE_QUEUED_BYTES,
    STORE_REFUSED,
    STORE_GROUPS,
    STORE_GROUPED,
    SQLITE_READS,
    SQLITE_WAL,
    MONGODB_MESSAGES,
    MONGODB_COLLIDED,
    MONGODB_UNKNOWN,
    MONGODB_GAPS_FILLED,
    MONGODB_ROOMS_WITH_GAPS,
    COUNTERS_RESTORED,
    DEGRADED_RESERVATIONS,
];

metrics! {
    counter ERRORS "errors_total" ["channel" "code"] "Refusals told to clients, by their code: of events (ack), of connecting to a namespace (connect), of HTTP requests (http)"
}

const ERRORS_TOLD: &[Metric] = &[ERRORS];
const CHAT: &[Metric] = &[USERS, ROOMS, DELIVERY, COMPARED, REMOVED, UNANSWERED];

metrics! {
    counter LIMIT_GRANTED "rate_limit_granted_total" ["tier"] "Permits granted by a rate limit; one of a reservation that turned out not to count among them"
    counter LIMIT_REFUSED "rate_limit_refused_total" ["tier"] "Requests refused by it"
    counter LIMIT_LEASED "rate_limit_leased_total" ["tier"] "Permits leased in batches from Redis"
    gauge LIMIT_BYTES "rate_limit_memory_bytes" ["tier"] "Memory for those whom this instance counts, at most 16 MiB a tier"
    counter LIMIT_ALONE "rate_limit_local_only_seconds_total" [] "Seconds for which this instance counted alone because Redis didn't answer"
    counter LIMIT_ERRORS "rate_limit_errors_total" [] "Calls of Redis for rate limits that failed or took too long"
}

const LIMITS: &[Metric] = &[
    LIMIT_GRANTED,
    LIMIT_REFUSED,
    LIMIT_LEASED,
    LIMIT_BYTES,
    LIMIT_ALONE,
    LIMIT_ERRORS,
];
const HTTP: &[Metric] = &[HTTP_REQUESTS, HTTP_SECONDS, HTTP_UNFINISHED, HTTP_REFUSED];

metrics! {
    gauge BUS_CONNECTED "bus_connected" [] "1 if all subscriptions to other instances' messages are active, else 0"
    gauge BUS_TOPICS "bus_topics" [] "Topics that this instance subscribes to at the others"
    counter BUS_SENT "bus_sent_total" [] "Messages handed to the bus"
    counter BUS_DROPPED "bus_dropped_total" [] "Of these, those dropped because too many were waiting or Redis didn't accept them"
    counter BUS_RECEIVED "bus_received_total" [] "Envelopes received from other instances"
    counter BUS_REFUSED "bus_refused_total" [] "Envelopes refused: not written by an instance of the fleet, or of an unknown version"
    counter BUS_INTERRUPTIONS "bus_interruptions_total" [] "Times that messages to this instance may have been lost and were recovered from the store"
}

const BUS: &[Metric] = &[
    BUS_CONNECTED,
    BUS_TOPICS,
    BUS_SENT,
    BUS_DROPPED,
    BUS_RECEIVED,
    BUS_REFUSED,
    BUS_INTERRUPTIONS,
];

metrics! {
    gauge REDIS_CONNECTED "redis_connected" ["use"] "1 if the server is connected to Redis, else 0, by what Redis is used for"
    counter REDIS_CONNECTS "redis_connects_total" ["use"] "Connections made to Redis, the first ones included"
    counter REDIS_DISCONNECTS "redis_disconnects_total" ["use"] "Connections that broke, timed out without an answer, or were closed by Redis"
    latency REDIS_SECONDS "redis_command_seconds" ["use"] "Time from a command's call to its result, redirections included"
    gauge REDIS_WAITING "redis_commands_waiting" ["use"] "Commands waiting for a result"
    counter REDIS_FAILED "redis_commands_failed_total" ["use" "error"] "Commands that failed: not run (unavailable), perhaps run (unanswered), refused by Redis (refused), with a malformed answer (unexpected)"
    gauge REDIS_MEMORY "redis_memory_used_bytes" ["use"] "Memory of the master that uses most; this and the next three are asked of Redis at most every 10 s, and NaN while it doesn't answer"
    gauge REDIS_MEMORY_MAX "redis_memory_max_bytes" ["use"] "The smallest bound on a master's memory, 0 without one"
    gauge REDIS_CLIENTS "redis_clients" ["use"] "Clients connected to the master that has most"
    gauge REDIS_LAG "redis_replication_lag_bytes" ["use"] "How far the slowest replica lags behind its master; NaN without replicas"
    counter REDIS_MOVED "redis_moved_total" ["use"] "Answers that redirected to another master (MOVED, ASK)"
}

const REDIS: &[Metric] = &[
    REDIS_CONNECTED,
    REDIS_CONNECTS,
    REDIS_DISCONNECTS,
    REDIS_MOVED,
    REDIS_SECONDS,
    REDIS_WAITING,
    REDIS_FAILED,
    REDIS_MEMORY,
    REDIS_MEMORY_MAX,
    REDIS_CLIENTS,
    REDIS_LAG,
];

metrics! {
    counter CACHE_HITS "cache_hits_total" ["layer"] "Reads of cached values that memory or redis answered"
    counter CACHE_MISSES "cache_misses_total" [] "Reads of such values that went to the store; those who waited for the same one aren't counted"
    counter CACHE_LOADS_FAILED "cache_loads_failed_total" [] "Of these, those that the store couldn't answer"
    gauge CACHE_ENTRIES "cache_entries" [] "Values in memory"
    gauge CACHE_BYTES "cache_bytes" [] "Their size, keys and what the cache itself takes included"
    counter CACHE_EVICTIONS "cache_evictions_total" [] "Values dropped from memory because others needed the room"
    counter CACHE_INVALIDATIONS "cache_invalidations_total" [] "Invalidations by this instance and by others"
    counter CACHE_ANNOUNCED "cache_announced_total" [] "Invalidations of which clients were told"
    gauge CACHE_PENDING "cache_pending_invalidations" [] "Invalidations that Redis hasn't been told yet"
    counter CACHE_REDIS_ERRORS "cache_redis_errors_total" [] "Times that Redis couldn't be asked for a value or told of one"
}

const CACHE: &[Metric] = &[
    CACHE_HITS,
    CACHE_MISSES,
    CACHE_LOADS_FAILED,
    CACHE_ENTRIES,
    CACHE_BYTES,
    CACHE_EVICTIONS,
    CACHE_INVALIDATIONS,
    CACHE_ANNOUNCED,
    CACHE_PENDING,
    CACHE_REDIS_ERRORS,
];

metrics! {
    gauge CIRCUIT_STATE "circuit_state" ["dependency"] "The circuit breaker of a remote dependency: 0 closed, 1 half-open, 2 open"
    counter CIRCUIT_TRANSITIONS "circuit_transitions_total" ["dependency" "to"] "Changes of its state, by the new one: closed, half_open, open"
    counter CIRCUIT_CALLS "circuit_calls_total" ["dependency" "outcome"] "Calls of the dependency: success or failure; the answer no is a success"
    counter CIRCUIT_REJECTED "circuit_rejected_total" ["dependency"] "Calls that weren't made because the circuit was open"
}

const CIRCUITS: &[Metric] = &[
    CIRCUIT_STATE,
    CIRCUIT_TRANSITIONS,
    CIRCUIT_CALLS,
    CIRCUIT_REJECTED,
];

metrics! {
    counter EMITTER "emitter_messages_total" ["outcome"] "Messages of Redis emitters, by what became of them"
    counter EMITTER_INTERRUPTIONS "emitter_interruptions_total" [] "Times that such messages may have been lost in transit"
}

const EMITTERS: &[Metric] = &[EMITTER, EMITTER_INTERRUPTIONS];

metrics! {
    counter AUDIT_RECORDED "audit_recorded_total" [] "Entries of the audit log accepted here"
    counter AUDIT_SUPPRESSED "audit_suppressed_total" [] "Refusals and failures that weren't recorded because the same actor had had 60 of the same action within a minute"
    counter AUDIT_DROPPED "audit_dropped_total" [] "Entries lost because the queue or the spool was full, or that couldn't be read"
    gauge AUDIT_QUEUED "audit_queued_bytes" [] "Bytes of entries that wait to be written to the spool, or to SQLite"
    gauge AUDIT_SPOOLED "audit_spooled_bytes" [] "Bytes in this instance's spool"
    counter AUDIT_TORN "audit_spool_torn_total" [] "Segments of the spool that couldn't be read to their end"
    gauge AUDIT_OLDEST "audit_oldest_unstored_seconds" [] "Age of the oldest entries that were recorded here and aren't known to be in the database"
    gauge AUDIT_STREAM "audit_stream_batches" [] "Batches in the streams of Redis, of all instances, as of at most 5 s ago"
    gauge AUDIT_PENDING "audit_stream_pending_batches" [] "Of these, those that some instance is storing"
    counter AUDIT_RESENT "audit_resent_batches_total" [] "Batches sent again because Redis had lost them"
    counter AUDIT_STORED "audit_stored_total" [] "Entries written to the database by this instance"
    counter AUDIT_DUPLICATES "audit_duplicates_total" [] "Entries that were in the database already when this instance wrote them"
    counter AUDIT_DELETED "audit_deleted_total" [] "Entries removed for their age by this instance"
    latency AUDIT_BATCH_SECONDS "audit_batch_seconds" [] "Time to write a batch to the database"
}

const AUDIT: &[Metric] = &[
    AUDIT_RECORDED,
    AUDIT_SUPPRESSED,
    AUDIT_DROPPED,
    AUDIT_QUEUED,
    AUDIT_SPOOLED,
    AUDIT_TORN,
    AUDIT_OLDEST,
    AUDIT_STREAM,
    AUDIT_PENDING,
    AUDIT_RESENT,
    AUDIT_STORED,
    AUDIT_DUPLICATES,
    AUDIT_DELETED,
    AUDIT_BATCH_SECONDS,
];

metrics! {
    gauge SESSIONS "sessions" ["state"] "Sessions of all instances as of the session monitor's last run: live, ended (not yet removed)"
    counter SESSIONS_CLEANED "sessions_cleaned_total" [] "Ended sessions that the monitor of this instance removed"
    counter MONITOR_RUNS "session_monitor_runs_total" ["outcome"] "Runs of the session monitor, by the outcome: completed, failed"
    counter MONITOR_RESTARTS "session_monitor_restarts_total" [] "Times that the session monitor was started again after a fault"
    gauge MONITOR_AGE "session_monitor_last_run_seconds" [] "Time since its last completed run; NaN before the first"
    gauge MONITOR_TOOK "session_monitor_run_seconds" [] "What that run took"
}

const SESSION_MONITOR: &[Metric] = &[
    SESSIONS,
    SESSIONS_CLEANED,
    MONITOR_RUNS,
    MONITOR_RESTARTS,
    MONITOR_AGE,
    MONITOR_TOOK,
];

metrics! {
    gauge EXTERNAL_KEYS "external_keys" [] "Keys known of the issuer of other applications' tokens"
    gauge EXTERNAL_KEYS_AGE "external_keys_age_seconds" [] "Time since they were read"
    counter EXTERNAL_KEYS_READS "external_keys_reads_total" ["outcome"] "Attempts to read them, by the outcome: read, failed"
}

const EXTERNAL_TOKENS: &[Metric] = &[EXTERNAL_KEYS, EXTERNAL_KEYS_AGE, EXTERNAL_KEYS_READS];

metrics! {
    gauge POSTGRES_PRIMARY "postgresql_primary_answers" [] "1 if the primary answered when it was last asked, which is twice a second, else 0"
    gauge POSTGRES_POOL_SIZE "postgresql_pool_size" ["pool"] "Connections that a pool may have: to the primary for writes (write) and for reads that no replica may answer (primary_read), to all replicas for reads (replica_read)"
    gauge POSTGRES_OPEN "postgresql_connections" ["pool"] "Connections open now"
    gauge POSTGRES_IN_USE "postgresql_connections_in_use" ["pool"] "Of these, those at work"
    gauge POSTGRES_WAITING "postgresql_waiting" ["pool"] "Calls that wait for a connection"
    counter POSTGRES_NOT_ACQUIRED "postgresql_not_acquired_total" ["pool"] "Calls that got no connection in time, or at once because too many waited"
    latency POSTGRES_ACQUIRE_SECONDS "postgresql_acquire_seconds" [] "Time that a call waited for a connection"
    latency POSTGRES_SECONDS "postgresql_seconds" ["access"] "Time that the statements of a call took: read, write"
    counter POSTGRES_CALLS "postgresql_calls_total" ["access" "outcome"] "Calls by how they ended: succeeded, unavailable (worth another try), failed (a fault of this program)"
    counter POSTGRES_REDIRECTED "postgresql_redirected_total" [] "Reads that a replica didn't answer and that were asked of the primary"
    gauge POSTGRES_REPLICAS "postgresql_replicas" ["state"] "Replicas by their state: in_rotation, lagging or failed (left out), unknown"
    gauge POSTGRES_LAG_SECONDS "postgresql_replica_lag_seconds" [] "For how long the slowest replica that answers has lacked something that the primary has; NaN without one"
    gauge POSTGRES_LAG_BYTES "postgresql_replica_lag_bytes" [] "How many bytes of the primary's write-ahead log the slowest replica that answers lacks; likewise"
}

const POSTGRES: &[Metric] = &[
    POSTGRES_PRIMARY,
    POSTGRES_POOL_SIZE,
    POSTGRES_OPEN,
    POSTGRES_IN_USE,
    POSTGRES_WAITING,
    POSTGRES_NOT_ACQUIRED,
    POSTGRES_ACQUIRE_SECONDS,
    POSTGRES_SECONDS,
    POSTGRES_CALLS,
    POSTGRES_REDIRECTED,
    POSTGRES_REPLICAS,
    POSTGRES_LAG_SECONDS,
    POSTGRES_LAG_BYTES,
];

metrics! {
    gauge JOBS_WAITING "jobs_waiting" ["kind" "state"] "Jobs in the tables, of all instances, as of at most 10 s ago: due, later (put off, or being run); and, where a worker runs them, in RabbitMQ: queued"
    gauge JOBS_OLDEST "jobs_oldest_due_seconds" ["kind"] "For how long the first of those that are due in the tables has been; of a worker, how long ago that one was enqueued which it took last from a queue that isn't empty, if that is longer"
    gauge JOBS_DEAD "jobs_dead" ["kind"] "Dead letters, as of at most 10 s ago"
    gauge JOBS_RUNNING "jobs_running" ["kind"] "Jobs that run here"
    counter JOB_RUNS "job_runs_total" ["kind" "outcome"] "Runs that ended here, by the outcome: succeeded, failed"
    counter JOB_RETRIES "job_retries_total" ["kind"] "Of those that failed, those after which the job was put off"
    counter JOBS_GIVEN_UP "jobs_given_up_total" ["kind"] "Jobs that became dead letters here"
    counter BROKER_CONNECTS "rabbitmq_connects_total" [] "Connections made to RabbitMQ"
    gauge BROKER_CONNECTED "rabbitmq_connected" ["use"] "1 if there is a connection to RabbitMQ, else 0, by its use: publish, consume (of a worker)"
    counter BROKER_PUBLISHED "rabbitmq_published_total" ["outcome"] "Messages published, by the outcome: confirmed, unconfirmed (not taken, or not in time; published again)"
    latency JOB_SECONDS "job_seconds" ["kind"] "Time that a run took"
}

const JOBS: &[Metric] = &[
    JOBS_WAITING,
    JOBS_OLDEST,
    JOBS_DEAD,
    JOBS_RUNNING,
    JOB_RUNS,
    JOB_RETRIES,
    JOBS_GIVEN_UP,
    JOB_SECONDS,
    BROKER_CONNECTED,
    BROKER_CONNECTS,
    BROKER_PUBLISHED,
];

metrics! {
    counter NOTIFICATIONS_STORED "notifications_total" ["kind"] "Notifications that this instance stored, by kind: mention, reply, direct, message, invitation"
    counter NOTIFICATION_ENTRIES "notification_entries_total" [] "Entries of the rooms' logs that this instance has read for them; of a fleet, one instance reads at a time"
    counter NOTIFICATION_FAILURES "notification_failures_total" [] "Times that reading or storing failed; it is tried again"
    counter NOTIFICATION_POSITIONS_LOST "notification_positions_lost_total" [] "Times that the database's history didn't reach back to where the logs were read, so that something was left out"
}

metrics! {
    counter PUSHES "pushes_total" ["outcome"] "Attempts to push to a device, by outcome: taken, gone (the device is forgotten), failed"
    counter EMAILS "emails_total" ["outcome"] "Attempts to send an email, by outcome: sent, failed"
}

const NOTIFICATIONS: &[Metric] = &[
    NOTIFICATIONS_STORED,
    NOTIFICATION_ENTRIES,
    NOTIFICATION_FAILURES,
    NOTIFICATION_POSITIONS_LOST,
    PUSHES,
    EMAILS,
];

metrics! {
    counter UPLOADS "uploads_total" [] "Uploads of files and images that were completed here"
    counter UPLOADED_BYTES "uploaded_bytes_total" [] "Their bytes"
    counter IMAGES "images_processed_total" ["outcome"] "Images that were processed here: ready, failed (they can't be shown)"
    gauge IMAGES_IN_PROGRESS "images_in_progress" [] "Images that are being decoded here, or wait for it"
    counter IMAGES_RESIZED "images_resized_total" [] "Copies of images that were made because somebody asked for another size"
    counter UPLOADS_REMOVED "uploads_removed_total" [] "Times that the objects of an upload were removed here, after its message or because nobody attached it"
}

const MEDIA: &[Metric] = &[
    UPLOADS,
    UPLOADED_BYTES,
    IMAGES,
    IMAGES_IN_PROGRESS,
    IMAGES_RESIZED,
    UPLOADS_REMOVED,
];

/// All metrics, in groups with a heading each.
pub fn groups() -> Vec<(&'static str, &'static [Metric])> {
    vec![
        ("Connections", GATEWAY),
        ("Chat", CHAT),
        ("Rate limits", LIMITS),
        ("Store", STORE),
        ("HTTP", HTTP),
        ("Errors", ERRORS_TOLD),
        ("Between instances", BUS),
        ("Redis", REDIS),
        ("Cache", CACHE),
        ("Circuit breakers", CIRCUITS),
        ("PostgreSQL", POSTGRES),
        ("Emitters", EMITTERS),
        ("Audit log", AUDIT),
        ("Jobs", JOBS),
        ("Notifications", NOTIFICATIONS),
        ("Files and images", MEDIA),
        ("Sessions", SESSION_MONITOR),
        ("Tokens of another application", EXTERNAL_TOKENS),
        ("The process", telemetry::PROCESS),
    ]
}

/// docs/metrics.md.
pub fn document() -> String {
    let introduction = "\
What the server counts, at `http://METRICS_HOST:METRICS_PORT/metrics` in Prometheus' text format. Counters begin at 0 when the process\n\
starts; labels have a closed set of values, never one from a client. Metrics of what isn't in use (a fleet's on a server that is alone) have no value.\n\
This page is written from the code: a test compares them.";
    telemetry::document("Metrics", introduction, &groups())
}
