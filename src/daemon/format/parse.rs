//! From the text of `-F` to what it stands for.

use std::iter::Peekable;
use std::str::{Chars, FromStr};

use super::clock::Time;
use super::{Field, Format, Piece, Width};

/// More would be a mistake, or an attempt to fill the memory.
const WIDEST: usize = 10_000;

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(letter) = rest.next() {
            let piece = match letter {
                '%' => percent(&mut rest)?,
                '@' => at(&mut rest)?,
                '\\' => Piece::Text(vec![escape(&mut rest)?]),
                _ => Piece::Text(letter.to_string().into_bytes()),
            };
            match piece {
                Piece::Text(text) => plain.extend(text),
                piece => {
                    flush(&mut plain, &mut pieces);
                    pieces.push(piece);
                }
            }
        }
        flush(&mut plain, &mut pieces);
        Ok(Format(pieces))
    }
}

fn flush(plain: &mut Vec<u8>, pieces: &mut Vec<Piece>) {
    if !plain.is_empty() {
        pieces.push(Piece::Text(std::mem::take(plain)));
    }
}

fn percent(rest: &mut Peekable<Chars<'_>>) -> Result<Piece, String> {
    let width = width(rest)?;
    let field = match rest.next() {
        Some('%') => return Ok(Piece::Text(b"%".into())),
        Some('A') => Field::TopicAlias,
        Some('C') => Field::ContentType,
        Some('D') => Field::CorrelationData,
        Some('E') => Field::MessageExpiryInterval,
        Some('F') => Field::PayloadFormatIndicator,
        Some('I') => Field::Iso8601,
        Some('j') => Field::Json,
        Some('J') => Field::JsonOfPayload,
        Some('l') => Field::PayloadLength,
        Some('m') => Field::PacketIdentifier,
        Some('P') => Field::UserProperties,
        Some('p') => Field::Payload,
        Some('q') => Field::QoS,
        Some('R') => Field::ResponseTopic,
        Some('r') => Field::Retain,
        Some('S') => Field::SubscriptionIdentifier,
        Some('t') => Field::Topic,
        Some('U') => Field::UnixTime,
        Some('x') => Field::Hex,
        Some('X') => Field::UpperHex,
        Some(other) => return Err(format!("`%{other}` stands for nothing; write %% for a percent sign")),
        None => return Err(unfinished('%')),
    };
    Ok(Piece::Field(field, width))
}

fn width(rest: &mut Peekable<Chars<'_>>) -> Result<Width, String> {
    let left = rest.next_if_eq(&'-').is_some();
    let zero = rest.next_if_eq(&'0').is_some() && !left;
    let minimum = digits(rest)?;
    let maximum = match rest.next_if_eq(&'.') {
        Some(_) => Some(digits(rest)?),
        None => None,
    };
    Ok(Width { left, zero, minimum, maximum })
}

fn digits(rest: &mut Peekable<Chars<'_>>) -> Result<usize, String> {
    let mut number = 0;
    while let Some(digit) = rest.peek().and_then(|letter| letter.to_digit(10)) {
        rest.next();
        number = number * 10 + digit as usize;
        if number > WIDEST {
            return Err(format!("a width is at most {WIDEST}"));
        }
    }
    Ok(number)
}

fn at(rest: &mut Peekable<Chars<'_>>) -> Result<Piece, String> {
    match rest.next() {
        Some('@') => Ok(Piece::Text(b"@".into())),
        Some('N') => Ok(Piece::Time(Time::Nanoseconds)),
        // What strftime does not know it leaves as it is.
        Some(letter) => Ok(Time::strftime(letter)
            .map_or_else(|| Piece::Text(format!("%{letter}").into_bytes()), Piece::Time)),
        None => Err(unfinished('@')),
    }
}

fn escape(rest: &mut Peekable<Chars<'_>>) -> Result<u8, String> {
    match rest.next() {
        Some('\\') => Ok(b'\\'),
        Some('0') => Ok(0),
        Some('a') => Ok(7),
        Some('e') => Ok(27),
        Some('n') => Ok(b'\n'),
        Some('r') => Ok(b'\r'),
        Some('t') => Ok(b'\t'),
        Some('v') => Ok(11),
        Some(other) => Err(format!("`\\{other}` stands for nothing; write \\\\ for a backslash")),
        None => Err(unfinished('\\')),
    }
}

fn unfinished(sign: char) -> String {
    format!("the `{sign}` at its end has no letter; write {sign}{sign} for the sign itself")
}
