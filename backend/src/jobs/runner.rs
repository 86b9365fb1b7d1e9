//! What runs each kind of job, and what a process does with jobs. This is an edge: it knows the domains whose functions run them.

use std::{sync::Arc, time::Duration};

use futures_util::future::join4;
use job_queue::{Attempt, Handler, Handlers, InProcess, Job, JobError, KindSettings, Retries};
use tokio::{sync::watch, time::sleep};

use super::{daily, retention};
use crate::{
    app::{App, SharedApp},
    chat::news::InvitationJob,
    mail::{AddressChangedJob, AddressVerificationJob, PasswordResetJob, ResetRequestJob},
    media::{
        Media,
        processing::{self, ProcessImage},
    },
    notifications::{DigestJob, DispatchJob, PushJob},
    rollups::RollUp,
};

/// What runs may take to end when the process stops; the others are given back.
const GRACE: Duration = Duration::from_secs(10);

/// How often an instance looks whether it has started.
const START: Duration = Duration::from_millis(200);

/// What a process does with jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It publishes them, or runs them if there is no broker.
    Server,
    /// It takes them from the broker and runs them.
    Worker,
}

/// An email waits for one server, for hours if it has to.
const EMAILS: KindSettings = KindSettings {
    concurrency: 4,
    time_limit: Duration::from_secs(90),
    retries: Retries::PATIENT,
};

/// A push waits for one of many services, and not for long: it is about something new.
const PUSHES: KindSettings = KindSettings {
    concurrency: 16,
    time_limit: Duration::from_secs(30),
    retries: Retries::PROMPT,
};

/// Reads and writes tables alone.
const NOTICES: KindSettings = KindSettings {
    concurrency: 8,
    time_limit: Duration::from_secs(30),
    retries: Retries::PATIENT,
};

/// One transaction over all users of some days.
const ROLLUPS: KindSettings = KindSettings {
    concurrency: 1,
    time_limit: Duration::from_secs(120),
    retries: Retries::PATIENT,
};

/// Says what runs each kind of job in this process, before [`run`].
///
/// # Errors
/// If the configuration of a worker names a kind that isn't known.
pub fn register(app: &App, role: Role) -> Result<(), String> {
    let Some(jobs) = &app.jobs else {
        return Ok(());
    };
    let mut handlers = handlers(app);
    if let (Some(wanted), Role::Worker) = (&app.config.jobs.kinds, role) {
        let known: Vec<_> = handlers.kinds().collect();
        if let Some(unknown) = wanted.iter().find(|kind| !known.contains(&kind.as_str())) {
            let known = known.join(", ");
            return Err(format!(
                "WORKER_KINDS: {unknown} isn't among the kinds of jobs: {known}"
            ));
        }
        handlers = handlers.only(wanted);
    }
    if jobs.handlers.set(Arc::new(handlers)).is_err() {
        tracing::error!("the handlers of jobs are registered already");
    }
    Ok(())
}

/// What runs each kind of job.
fn handlers(app: &App) -> Handlers {
    let mut handlers = Handlers::default();
    if let Some(jobs) = &app.jobs {
        handlers.add(retention::handler(jobs.queue().store().clone()));
    }
    if let Some(rollups) = &app.rollups {
        handlers.add(handler(
            ROLLUPS,
            rollups,
            |rollups, job: RollUp| async move { rollups.close(job).await },
        ));
    }
    if let Some(media) = &app.media {
        handlers.add(image_handler(media, app.config.media.image_processes));
    }
    if let Some(emails) = &app.account_mail {
        handlers.add(handler(EMAILS, emails, |emails, job: AddressVerificationJob| async move {
            emails.send_verification(job).await
        }));
        handlers.add(handler(
            EMAILS,
            emails,
            |emails, job: AddressChangedJob| async move { emails.send_address_changed(job).await },
        ));
        handlers.add(handler(
            NOTICES,
            emails,
            |emails, job: ResetRequestJob| async move { emails.find_accounts(job).await },
        ));
        handlers.add(handler(
            EMAILS,
            emails,
            |emails, job: PasswordResetJob| async move { emails.send_reset(job).await },
        ));
    }
    if let Some(notifications) = &app.notifications {
        handlers.add(handler(
            NOTICES,
            notifications,
            |notifications, job: DispatchJob| async move { notifications.dispatch(job).await },
        ));
        handlers.add(handler(NOTICES, notifications, |notifications, job: InvitationJob| async move {
            notifications.notify_invited(job).await
        }));
        let pushing = notifications.clone();
        let push = move |job: PushJob, attempt: Attempt| {
            let notifications = pushing.clone();
            async move { notifications.push(job, attempt.is_last).await }
        };
        handlers.add(Handler::new(PUSHES, push));
        handlers.add(handler(
            EMAILS,
            notifications,
            |notifications, job: DigestJob| async move { notifications.mail_digest(job).await },
        ));
    }
    for (kind, counts) in handlers.counts() {
        let took = app.metrics.job_seconds(kind);
        counts.observe(move |duration| took.record(duration));
    }
    handlers
}

/// What runs jobs of a kind by a function of their domain.
fn handler<D, J, F>(
    settings: KindSettings,
    domain: &Arc<D>,
    run: impl Fn(Arc<D>, J) -> F + Send + Sync + 'static,
) -> Handler
where
    D: Send + Sync + 'static,
    J: Job,
    F: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let domain = domain.clone();
    Handler::new(settings, move |job, _| run(domain.clone(), job))
}

/// As many wait for a process as decode in one, so that the next one is in memory when it ends.
fn image_handler(media: &Arc<Media>, processes: usize) -> Handler {
    let settings = KindSettings {
        concurrency: 2 * processes,
        time_limit: Duration::from_secs(180),
        retries: Retries::PATIENT,
    };
    let (run, give_up) = (media.clone(), media.clone());
    Handler::new(settings, move |job: ProcessImage, attempt| {
        let media = run.clone();
        async move { processing::process(&media, job, attempt.number).await }
    })
    .when_given_up(move |job: ProcessImage, _| {
        let media = give_up.clone();
        async move { processing::given_up(&media, job).await }
    })
}

/// Does what this process does with jobs, until `stop` is true.
pub async fn run(app: SharedApp, role: Role, mut stop: watch::Receiver<bool>) {
    let Some((jobs, handlers)) = app
        .jobs
        .as_ref()
        .and_then(|jobs| Some((jobs, jobs.handlers.get()?)))
    else {
        return;
    };
    let started = async {
        while !app.startup.is_over() {
            sleep(START).await;
        }
    };
    tokio::select! {
        () = started => {}
        _ = stop.wait_for(|stop| *stop) => return,
    }
    let (queue, handlers) = (jobs.queue.clone(), handlers.clone());
    let running_stop = stop.clone();
    let running = async {
        match &jobs.broker {
            None if app.config.fleet.is_none() => {
                let runner = InProcess::alone(queue, handlers);
                runner.run(running_stop, GRACE).await;
            }
            None => {
                let runner = InProcess::shared(queue, handlers);
                runner.run(running_stop, GRACE).await;
            }
            Some(broker) if role == Role::Worker => {
                broker.consume(handlers, running_stop, GRACE).await;
            }
            Some(_) => {}
        }
    };
    let relaying = async {
        if let Some(broker) = &jobs.broker {
            broker.relay(stop.clone()).await;
        }
    };
    join4(
        running,
        relaying,
        jobs.waiting.run(stop.clone()),
        daily::run(&jobs.queue, stop.clone()),
    )
    .await;
    if let Some(broker) = &jobs.broker {
        broker.close().await;
    }
}
