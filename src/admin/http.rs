//! The little of HTTP/1.1 that the admin port speaks: GET, HEAD and DELETE, no bodies, and the end of the connection after each
//! answer. `httparse` reads the head of a request.

use percent_encoding::percent_decode_str;

use super::port::{Port, Reach};

/// Before an address or a name.
pub(super) const BANS_OF: &str = "/bans/";

/// Bytes of the request line and all headers.
pub(super) const LONGEST_HEAD: usize = 8192;
const MOST_HEADERS: usize = 32;

/// What came so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    Whole(Request),
    Partial,
    /// To be answered with this status.
    Illegal(u16),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    method: String,
    /// Without what comes after `?`.
    path: String,
    host: Option<String>,
    authorization: Option<Vec<u8>>,
}

pub(super) fn parse(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Head::Partial,
        Err(httparse::Error::TooManyHeaders) => return Head::Illegal(431),
        Err(_) => return Head::Illegal(400),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Head::Illegal(400);
    };
    let header = |name: &str| {
        let mut found = parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        (found.next().map(|header| header.value), found.next().is_some())
    };
    let (host, (authorization, is_repeated)) = (header("host"), header("authorization"));
    let host = match host {
        (None, _) if version == 0 => None,
        (Some(host), false) => match str::from_utf8(host) {
            Ok(host) => Some(host.to_owned()),
            Err(_) => return Head::Illegal(400),
        },
        // RFC 9112, 3.2: one, and only one.
        _ => return Head::Illegal(400),
    };
    if is_repeated {
        return Head::Illegal(400);
    }
    Head::Whole(Request {
        method: method.to_owned(),
        path: target.split('?').next().unwrap_or_default().to_owned(),
        host,
        authorization: authorization.map(<[u8]>::to_vec),
    })
}

/// What is sent back.
pub(super) struct Response {
    status: u16,
    content_type: &'static str,
    header: Option<&'static str>,
    body: String,
    with_body: bool,
}

impl Response {
    /// With its meaning as the body.
    pub(super) fn of(status: u16) -> Response {
        Response {
            status,
            content_type: "text/plain; charset=utf-8",
            header: match status {
                401 => Some("WWW-Authenticate: Bearer"),
                405 => Some("Allow: GET, HEAD, DELETE"),
                _ => None,
            },
            body: format!("{}\n", meaning(status)),
            with_body: true,
        }
    }

    fn found(content_type: &'static str, body: String) -> Response {
        Response { status: 200, content_type, header: None, body, with_body: true }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        let Response { status, content_type, header, body, with_body } = self;
        let header = header.map(|header| format!("{header}\r\n")).unwrap_or_default();
        let mut text = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{header}\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
            meaning(status),
            body.len(),
        );
        if with_body {
            text.push_str(&body);
        }
        text.into_bytes()
    }
}

fn meaning(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        _ => "Internal Server Error",
    }
}

pub(super) fn answer(request: &Request, port: &Port) -> Response {
    let mut response = match refusal(request, port) {
        Some(status) => Response::of(status),
        None if request.method == "DELETE" => lift_bans(&request.path, port),
        None => match request.path.as_str() {
            "/metrics" => Response::found("text/plain; version=0.0.4; charset=utf-8", port.figures.metrics()),
            "/plugins" => Response::found("application/json", port.figures.plugins()),
            "/bans" => Response::found("application/json", port.figures.bans()),
            "/healthz" => Response::found("text/plain; charset=utf-8", "ok\n".to_owned()),
            _ => Response::of(404),
        },
    };
    response.with_body = request.method != "HEAD";
    response
}

/// DELETE is nothing that a page of another site can have a browser send without asking first, to which it gets no answer
/// that allows it.
fn lift_bans(path: &str, port: &Port) -> Response {
    let whom = path.strip_prefix(BANS_OF).map(|whom| percent_decode_str(whom).decode_utf8());
    match whom {
        Some(Ok(whom)) => Response::found("application/json", port.figures.lift_bans(&whom)),
        Some(Err(_)) => Response::of(400),
        None => Response::of(405),
    }
}

fn refusal(request: &Request, port: &Port) -> Option<u16> {
    if !matches!(request.method.as_str(), "GET" | "HEAD" | "DELETE") {
        return Some(405);
    }
    match &port.token {
        Some(token) if request.path != "/healthz" => {
            (!is_authorized(request.authorization.as_deref(), token)).then_some(401)
        }
        Some(_) => None,
        None => {
            let foreign = port.reach == Reach::Network && !names_an_address(request.host.as_deref());
            foreign.then_some(403)
        }
    }
}

/// A page in a browser of this machine can have a name of its own lead to this port, and would then be shown what the
/// port says. Such a request names that name.
fn names_an_address(host: Option<&str>) -> bool {
    let Some(host) = host else { return true };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

fn is_authorized(authorization: Option<&[u8]>, token: &str) -> bool {
    let Some((scheme, given)) = authorization.and_then(|value| value.split_at_checked(7)) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"bearer ") && is_same(given, token.as_bytes())
}

/// Takes as long for whatever is given: the time tells nothing about the bytes of the token.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let differences = given.iter().zip(token).fold(0, |differences, (a, b)| differences | (a ^ b));
    given.len() == token.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_this_machine() {
        for host in ["127.0.0.1:9883", "127.0.0.1", "[::1]:9883", "[::1]", "localhost:1", "LOCALHOST"] {
            assert!(names_an_address(Some(host)), "{host}");
        }
        for host in ["evil.example", "evil.example:9883", "127.0.0.1.evil.example:9883", "", ":9883"] {
            assert!(!names_an_address(Some(host)), "{host}");
        }
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let is_let_in = |value: &str| is_authorized(Some(value.as_bytes()), "0123456789abcdef");
        assert!(is_let_in("Bearer 0123456789abcdef") && is_let_in("bearer 0123456789abcdef"));
        for value in ["", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdeX"] {
            assert!(!is_let_in(value), "{value}");
        }
        for value in ["Basic 0123456789abcdef", "Bearer 0123456789abcdef0", "0123456789abcdef"] {
            assert!(!is_let_in(value), "{value}");
        }
        assert!(!is_authorized(None, "0123456789abcdef"));
    }
}
