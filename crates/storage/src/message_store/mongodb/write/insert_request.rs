//! One insert into the log, and what it did to each document.

use std::time::Duration;

use mongodb::Collection;
use mongodb::bson::RawDocumentBuf;
use mongodb::error::{Error, ErrorKind};

use super::super::failure::{DUPLICATE_KEY, is_passing, is_passing_code};
use super::batch::Attempt;

/// How long one request may take: the server itself gives up waiting for a majority after five seconds.
const REQUEST: Duration = Duration::from_secs(6);

/// One insert, and whose documents it holds: for each, the index of its batch and its own index in that.
pub struct InsertRequest {
    ordered: bool,
    documents: Vec<RawDocumentBuf>,
    whose: Vec<(usize, usize)>,
}

impl InsertRequest {
    pub fn new(ordered: bool) -> Self {
        Self {
            ordered,
            documents: Vec::new(),
            whose: Vec::new(),
        }
    }

    /// Adds the document of a message.
    pub fn push(&mut self, whose: (usize, usize), document: RawDocumentBuf) {
        self.documents.push(document);
        self.whose.push(whose);
    }

    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Runs it to its end, in a task of its own: a caller that stops waiting doesn't cut it short. Returns what it did to
    /// each document.
    pub async fn run(self, log: Collection<RawDocumentBuf>) -> Vec<((usize, usize), Attempt)> {
        let Self {
            ordered,
            documents,
            whose,
        } = self;
        let insert = async move { log.insert_many(documents).ordered(ordered).await.map(drop) };
        let result = match tokio::time::timeout(REQUEST, tokio::spawn(insert)).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => {
                let unknown = |whose| (whose, Attempt::Unknown);
                return whose.into_iter().map(unknown).collect();
            }
        };
        if let Err(error) = &result {
            tracing::debug!(?error, "an insert into the log failed");
        }
        let attempt = |(index, whose)| (whose, attempt(&result, ordered, index));
        whose.into_iter().enumerate().map(attempt).collect()
    }
}

/// What an insert did to the document of this index.
fn attempt(result: &Result<(), Error>, ordered: bool, index: usize) -> Attempt {
    let error = match result {
        Ok(()) => return Attempt::Stored,
        Err(error) => error,
    };
    let ErrorKind::InsertMany(many) = &*error.kind else {
        return if is_passing(error) {
            Attempt::Unknown
        } else {
            Attempt::Failed
        };
    };
    let mut errors = many.write_errors.iter().flatten();
    if ordered && errors.clone().any(|write| write.index < index) {
        return Attempt::Untried;
    }
    match errors.find(|write| write.index == index) {
        Some(write) if write.code == DUPLICATE_KEY => Attempt::Taken,
        Some(write) if is_passing_code(write.code) => Attempt::Unknown,
        Some(_) => Attempt::Failed,
        // Written by one, and not known to be by a majority.
        None if many.write_concern_error.is_some() => Attempt::Unknown,
        None => Attempt::Stored,
    }
}
