//! Many messages on their way at a time, and what became of them.
//!
//! Answers are waited for in the order in which messages went out. How many are under way is limited here, by count and
//! by bytes; the client has fewer in flight where the broker's Receive Maximum says so.

use std::collections::VecDeque;
use std::pin::Pin;

use bytes::Bytes;

use super::payload::Payloads;
use super::progress::Progress;
use crate::client::{Client, DisconnectError, PublishError, PublishResult};
use crate::daemon::connect::{Interrupt, Telling, not_published};
use crate::daemon::exit::{Exit, Failure};
use crate::packet::Publish;

/// Messages that are under way at a time.
const AHEAD: usize = 8192;
/// Bytes of their payloads; one alone may be larger.
const AHEAD_BYTES: usize = 32 << 20;
/// Refusals that are told one by one.
const TOLD: u64 = 20;

type Answer = Pin<Box<dyn Future<Output = Result<PublishResult, PublishError>>>>;

pub(super) struct Pipeline<'c> {
    client: &'c Client,
    template: Publish,
    /// Answers that are to come, with the length of the payloads.
    under_way: VecDeque<(Answer, usize)>,
    bytes: usize,
    refused: u64,
    unacknowledged: usize,
    progress: Progress,
    telling: Telling,
}

/// What happens next.
enum Step {
    Answered(Result<PublishResult, PublishError>),
    Payload(Option<Bytes>),
    Interrupted,
    Second,
}

impl<'c> Pipeline<'c> {
    pub(super) fn new(
        client: &'c Client,
        template: Publish,
        progress: Progress,
        telling: Telling,
    ) -> Pipeline<'c> {
        let under_way = VecDeque::new();
        Pipeline { client, template, under_way, bytes: 0, refused: 0, unacknowledged: 0, progress, telling }
    }

    /// Publishes all of them, or those before an interruption. A refusal does not keep the others from being published.
    pub(super) async fn publish_all(
        &mut self,
        mut payloads: Payloads,
        interrupt: &mut Interrupt,
    ) -> Result<(), Failure> {
        let mut reading = true;
        while reading || !self.under_way.is_empty() {
            match self.next_step(&mut payloads, reading, interrupt).await? {
                Step::Answered(answer) => self.answered(answer)?,
                Step::Payload(Some(payload)) => self.publish(payload)?,
                Step::Payload(None) => reading = false,
                Step::Interrupted => return self.flush(interrupt).await,
                Step::Second => self.progress.show(),
            }
            if reading
                && self.under_way.is_empty()
                && let Some(delay) = payloads.delay()
                && self.progress.sent() > 0
            {
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = interrupt.next() => return Ok(()),
                }
            }
        }
        self.progress.finish();
        Ok(())
    }

    /// Fails where a message was refused, or not acknowledged before the end.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if self.unacknowledged > 0 {
            let message = format!("{} messages were not acknowledged", self.unacknowledged);
            return Err(Failure::new(Exit::NotAcknowledged, message));
        }
        match self.refused {
            0 => Ok(()),
            1 => Err(Failure::new(Exit::Unavailable, "")),
            refused => {
                let message = format!("the broker refused {refused} of {} messages", self.progress.sent());
                Err(Failure::new(Exit::Unavailable, message))
            }
        }
    }

    /// Whether it ended before every message had its answer.
    pub(super) fn is_broken_off(&self) -> bool {
        self.unacknowledged > 0
    }

    async fn next_step(
        &mut self,
        payloads: &mut Payloads,
        reading: bool,
        interrupt: &mut Interrupt,
    ) -> Result<Step, Failure> {
        let has_room = self.has_room(payloads);
        let oldest = self.under_way.front_mut();
        let answer = async {
            match oldest {
                Some((answer, _)) => answer.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = interrupt.next() => Ok(Step::Interrupted),
            answer = answer => Ok(Step::Answered(answer)),
            // Without a word from stdin it would wait for one, and for nothing.
            end = self.client.wait_for_end() => Err(self.failed(&PublishError::Ended(end))),
            payload = payloads.next(), if reading && has_room => payload.map(Step::Payload),
            () = self.progress.second() => Ok(Step::Second),
        }
    }

    fn has_room(&self, payloads: &Payloads) -> bool {
        match payloads.delay() {
            Some(_) => self.under_way.is_empty(),
            None => self.under_way.len() < AHEAD && (self.bytes < AHEAD_BYTES || self.under_way.is_empty()),
        }
    }

    fn publish(&mut self, payload: Bytes) -> Result<(), Failure> {
        let length = payload.len();
        let publish = Publish { payload, ..self.template.clone() };
        let publishing = self.client.try_publish(publish).map_err(|error| self.failed(&error))?;
        self.under_way.push_back((Box::pin(publishing.answer()), length));
        self.bytes += length;
        self.progress.count_sent();
        Ok(())
    }

    fn answered(&mut self, answer: Result<PublishResult, PublishError>) -> Result<(), Failure> {
        if let Some((_, length)) = self.under_way.pop_front() {
            self.bytes -= length;
        }
        match answer {
            Ok(result) => {
                self.telling.tell(|| format!("published: {}", result.reason_code));
                self.progress.count_acknowledged();
                Ok(())
            }
            Err(PublishError::Refused(result)) => {
                self.refused += 1;
                if self.refused <= TOLD {
                    self.telling.warn(|| format!("the broker refused a message: {result}"));
                }
                Ok(())
            }
            Err(error) => {
                // This one was taken out, and is as little acknowledged as those behind it.
                self.unacknowledged += 1;
                Err(self.failed(&error))
            }
        }
    }

    /// With what was not acknowledged, where messages were sent before.
    fn failed(&mut self, error: &PublishError) -> Failure {
        let mut failure = not_published(error);
        let left = self.under_way.len() + std::mem::take(&mut self.unacknowledged);
        if left > 0 && self.progress.sent() > 1 {
            failure.message = format!("{}; {left} messages were not acknowledged", failure.message);
        }
        failure
    }

    /// Waits a while for what is under way.
    async fn flush(&mut self, interrupt: &mut Interrupt) -> Result<(), Failure> {
        let patience = self.client.options().disconnect_timeout;
        let left = self.under_way.len();
        if left > 0 {
            self.telling.warn(|| format!("waiting for {left} messages; once more to end at once"));
        }
        let answering = async {
            while let Some((oldest, _)) = self.under_way.front_mut() {
                let answer = oldest.await;
                self.answered(answer)?;
            }
            Ok(())
        };
        let flushed = tokio::select! {
            flushed = tokio::time::timeout(patience, answering) => flushed.unwrap_or(Ok(())),
            () = interrupt.next() => Ok(()),
        };
        self.unacknowledged += self.under_way.len();
        self.under_way.clear();
        flushed
    }
}

/// QoS 0: whether messages were sent is known when DISCONNECT is.
pub(super) fn not_left(error: &DisconnectError) -> Failure {
    Failure::new(Exit::Unavailable, format!("failed to publish: {error}"))
}
