//! Asks an HTTP server about every client that connects: who may, for how long, and what it may do.
//!
//! - [`settings`]: which server, and what its failing means
//! - [`question`]: what it is asked
//! - [`answer`]: what it says

mod answer;
mod question;
mod settings;

#[cfg(test)]
mod tests;

use std::time::Duration;

use acl::Rights;
use tidegate_plugin::prelude::*;

use crate::answer::{Answer, Verdict};
use crate::question::{Question, cache_key};
use crate::settings::{OnServerFailure, Settings};

/// Among a session's items.
const RIGHTS: &str = "http-auth/rights";

struct HttpAuth {
    settings: Settings,
}

impl Lifecycle for HttpAuth {
    type Settings = Settings;

    fn init(settings: Settings) -> Result<(Self, Registration), String> {
        settings.check()?;
        Ok((HttpAuth { settings }, Registration::new()))
    }
}

impl ValidatingConnection for HttpAuth {
    fn validate(&mut self, connect: Connect) -> ConnectVerdict {
        if connect.authentication_method().is_some() {
            return ConnectVerdict::Next;
        }
        let body = Question::about(&connect).body();
        let key = cache_key(&body);
        let answer = match remembered(&key) {
            Some(answer) => Ok(answer),
            None => self.ask(&body).inspect(|answer| self.remember(&key, answer)),
        };
        match answer {
            Ok(answer) => decide(&connect, &answer),
            Err(why) => self.without_server(&connect, &why),
        }
    }
}

impl HttpAuth {
    fn ask(&self, body: &[u8]) -> Result<Answer, String> {
        let mut request =
            http::Request::post(&self.settings.url).header("content-type", "application/json").body(body);
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        if let Some(milliseconds) = self.settings.timeout_ms {
            request = request.timeout(Duration::from_millis(milliseconds.into()));
        }
        let response = request.send().map_err(|error| match error {
            http::Error::Denied => "its host is not among the plugin's `grants.hosts`".to_owned(),
            http::Error::Timeout => "it did not answer in time".to_owned(),
            http::Error::TooLarge => "its answer is too long".to_owned(),
            http::Error::Busy => "too many requests in one call".to_owned(),
            http::Error::Invalid(why) | http::Error::Failed(why) => why,
        })?;
        Answer::read(&response)
    }

    fn remember(&self, key: &str, answer: &Answer) {
        let longest = match answer.verdict {
            Verdict::Allow => self.settings.cache(),
            Verdict::Deny => self.settings.cache_denied(),
            Verdict::Ignore => Duration::ZERO,
        };
        let left = answer.expires_at.map(|end| Duration::from_millis(end.saturating_sub(clock::now_ms())));
        let time = left.map_or(longest, |left| left.min(longest));
        if !time.is_zero()
            && let Ok(text) = serde_json::to_vec(answer)
            && state::set_for(key, &text, time).is_err()
        {
            log::debug!("there is no room to remember an answer");
        }
    }

    fn without_server(&self, connect: &Connect, why: &str) -> ConnectVerdict {
        log::warn!("the server could not be asked", client = connect.client_identifier(), reason = why);
        match self.settings.on_server_failure {
            OnServerFailure::Deny => ConnectVerdict::Deny(reason::SERVER_UNAVAILABLE),
            OnServerFailure::Next => ConnectVerdict::Next,
            OnServerFailure::Allow => ConnectVerdict::Allow,
        }
    }
}

fn remembered(key: &str) -> Option<Answer> {
    serde_json::from_slice(&state::get(key)?).ok()
}

fn decide(connect: &Connect, answer: &Answer) -> ConnectVerdict {
    let is_over = answer.expires_at.is_some_and(|end| end <= clock::now_ms());
    match answer.verdict {
        Verdict::Allow if !is_over => match (keep(connect, answer), answer.expires_at) {
            (Err(refusal), _) => refusal,
            (Ok(()), Some(end)) => ConnectVerdict::Allow.expires_at(end),
            (Ok(()), None) => ConnectVerdict::Allow,
        },
        Verdict::Ignore => ConnectVerdict::Next,
        Verdict::Allow | Verdict::Deny => {
            log::info!("connection refused", client = connect.client_identifier());
            ConnectVerdict::Deny(reason::BAD_USER_NAME_OR_PASSWORD)
        }
    }
}

/// Keeps what the client may do with its session. One whose rights cannot be kept is not let in.
fn keep(connect: &Connect, answer: &Answer) -> Result<(), ConnectVerdict> {
    if !answer.is_superuser && answer.rules.is_none() {
        return Ok(());
    }
    let rules = answer.rules.clone().unwrap_or_default();
    Rights::new(connect.client(), answer.is_superuser, rules).keep(RIGHTS).map_err(|error| {
        log::error!(
            "what the client may do cannot be kept; see `grants.session-items`",
            client = connect.client_identifier(),
            error = error
        );
        ConnectVerdict::Deny(reason::IMPLEMENTATION_SPECIFIC_ERROR)
    })
}

impl Authorizer for HttpAuth {
    fn authorize(&mut self, access: Access) -> AuthorizerVerdict {
        Rights::authorize(RIGHTS, &access, self.settings.authorization_cache())
    }
}

tidegate_plugin::export!(HttpAuth: lifecycle, validating_connection, authorizer);
