//! The JavaScript engine and the two functions.
//!
//! A plugin's instance has one engine, made and given the script by `init`; a call of a function is all that a
//! message costs. What a script keeps in its variables stays, in this instance.

use std::fmt;

use boa_engine::object::builtins::{JsArray, JsFunction};
use boa_engine::property::Attribute;
use boa_engine::{
    Context, JsError, JsNativeError, JsObject, JsResult, JsValue, NativeFunction, Source, js_string,
};
use serde::Deserialize;
use tidegate_plugin::log;

use crate::surroundings;

const UP: &str = "rawDataToJson";
const DOWN: &str = "jsonToRawData";

/// Values on the engine's stack; many times what a function needs.
const STACK_SIZE: usize = 64 * 1024;

/// Bytes that a script may make of one message.
const MAXIMUM_RESULT: u64 = 1024 * 1024;

/// What `jsonToRawData` gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Argument {
    #[default]
    Object,
    /// the JSON as it is
    Text,
}

pub(crate) struct Limits {
    pub(crate) loop_iterations: u64,
    pub(crate) recursion: usize,
    pub(crate) utc_offset_seconds: i32,
}

/// The functions that there are topics for.
#[derive(Clone, Copy)]
pub(crate) struct Needs {
    pub(crate) up: bool,
    pub(crate) down: bool,
}

#[derive(Debug)]
pub(crate) enum Failure {
    TooLong,
    NotJson,
    /// what the script threw, or which limit ended it
    Script(String),
    Nothing,
    NotBytes,
}

impl Failure {
    /// For metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::NotJson => "not-json",
            Self::Script(_) => "script",
            Self::Nothing | Self::NotBytes => "result",
        }
    }

    /// What the client is told: nothing of the script.
    pub(crate) fn public(&self) -> &'static str {
        match self {
            Self::TooLong => "the payload is too long to be converted",
            Self::NotJson => "the payload is not JSON",
            Self::Script(_) | Self::Nothing | Self::NotBytes => "the payload could not be converted",
        }
    }
}

/// For the log.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(error) => f.write_str(error),
            Self::Nothing => f.write_str("the function returned neither a value nor a text"),
            Self::NotBytes => f.write_str("the function returned no array of bytes"),
            other => f.write_str(other.public()),
        }
    }
}

pub(crate) struct Script {
    context: Context,
    up: Option<JsFunction>,
    down: Option<JsFunction>,
    /// `JSON.parse` and `JSON.stringify` as they were before the script: what goes through them keeps the order of
    /// its fields and the digits of its numbers.
    parse: JsFunction,
    stringify: JsFunction,
    argument: Argument,
}

impl Script {
    /// The errors say what is wrong with the script.
    pub(crate) fn load(
        text: &str,
        needs: Needs,
        limits: Limits,
        argument: Argument,
    ) -> Result<Self, Vec<String>> {
        let mut context = surroundings::context(limits.utc_offset_seconds).map_err(|error| vec![error])?;
        let engine_limits = context.runtime_limits_mut();
        engine_limits.set_loop_iteration_limit(limits.loop_iterations);
        engine_limits.set_recursion_limit(limits.recursion);
        engine_limits.set_stack_size_limit(STACK_SIZE);
        add_console(&mut context).map_err(|error| vec![error.to_string()])?;
        let parse = of_json("parse", &mut context)?;
        let stringify = of_json("stringify", &mut context)?;
        context.eval(Source::from_bytes(text)).map_err(|error| vec![format!("script: {error}")])?;

        let mut problems = Vec::new();
        let up = function(UP, needs.up, "up", &mut context, &mut problems);
        let down = function(DOWN, needs.down, "down", &mut context, &mut problems);
        if problems.is_empty() {
            Ok(Self { context, up, down, parse, stringify, argument })
        } else {
            Err(problems)
        }
    }

    pub(crate) fn raw_data_to_json(&mut self, raw: &[u8]) -> Result<Vec<u8>, Failure> {
        let bytes = JsArray::from_iter(raw.iter().map(|&byte| JsValue::from(byte)), &mut self.context);
        let result = call(self.up.as_ref(), bytes.into(), &mut self.context)?;
        if let Some(text) = result.as_string() {
            return Ok(text.to_std_string_lossy().into_bytes());
        }
        if result.is_null_or_undefined() {
            return Err(Failure::Nothing);
        }
        let json = call(Some(&self.stringify), result, &mut self.context)?;
        let json = json.as_string().ok_or(Failure::Nothing)?;
        Ok(json.to_std_string_lossy().into_bytes())
    }

    pub(crate) fn json_to_raw_data(&mut self, json: &[u8]) -> Result<Vec<u8>, Failure> {
        // Also refuses what is nested too deep for the engine's parser.
        serde_json::from_slice::<serde::de::IgnoredAny>(json).map_err(|_| Failure::NotJson)?;
        let text = str::from_utf8(json).map_err(|_| Failure::NotJson)?;
        let text = JsValue::from(js_string!(text));
        let argument = match self.argument {
            Argument::Object => call(Some(&self.parse), text, &mut self.context)?,
            Argument::Text => text,
        };
        let result = call(self.down.as_ref(), argument, &mut self.context)?;
        let array = result.as_object().ok_or(Failure::NotBytes)?;
        bytes_of(&array, &mut self.context)
    }
}

fn of_json(name: &str, context: &mut Context) -> Result<JsFunction, Vec<String>> {
    let json =
        context.global_object().get(js_string!("JSON"), context).ok().and_then(|json| json.as_object());
    let function = json.and_then(|json| json.get(js_string!(name), context).ok());
    let function = function.and_then(|function| function.as_object()).and_then(JsFunction::from_object);
    function.ok_or_else(|| vec![format!("the engine has no JSON.{name}")])
}

fn function(
    name: &str,
    needed: bool,
    place: &str,
    context: &mut Context,
    problems: &mut Vec<String>,
) -> Option<JsFunction> {
    if !needed {
        return None;
    }
    let found = context.global_object().get(js_string!(name), context).ok();
    let function = found.and_then(|value| value.as_object()).and_then(JsFunction::from_object);
    if function.is_none() {
        problems.push(format!("script: has no function `{name}`, which `{place}` needs"));
    }
    function
}

fn call(function: Option<&JsFunction>, argument: JsValue, context: &mut Context) -> Result<JsValue, Failure> {
    let function = function.ok_or(Failure::Nothing)?;
    function.call(&JsValue::undefined(), &[argument], context).map_err(thrown)
}

fn thrown(error: JsError) -> Failure {
    Failure::Script(error.to_string())
}

/// Of an array or a typed array. Numbers count modulo 256, as in a `Uint8Array`, so -1 is 255.
fn bytes_of(array: &JsObject, context: &mut Context) -> Result<Vec<u8>, Failure> {
    let length = array.get(js_string!("length"), context).map_err(thrown)?;
    let length = length.as_number().filter(|length| (0.0..=MAXIMUM_RESULT as f64).contains(length));
    let length = length.ok_or(Failure::NotBytes)? as u64;
    let mut bytes = Vec::with_capacity(length as usize);
    for index in 0..length {
        let value = array.get(index, context).map_err(thrown)?;
        if !value.is_number() {
            return Err(Failure::NotBytes);
        }
        bytes.push(value.to_uint8(context).map_err(thrown)?);
    }
    Ok(bytes)
}

/// `console.log` and `print`, which scripts that were being debugged still have: to the log, at level debug.
fn add_console(context: &mut Context) -> JsResult<()> {
    let print = NativeFunction::from_fn_ptr(print);
    context.register_global_callable(js_string!("print"), 1, print.clone())?;
    let console = JsObject::with_object_proto(context.intrinsics());
    for name in ["log", "info", "warn", "error", "debug"] {
        let function = print.clone().to_js_function(context.realm());
        console.set(js_string!(name), function, true, context)?;
    }
    context.register_global_property(js_string!("console"), console, Attribute::all())
}

fn print(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let mut line = String::new();
    for argument in arguments {
        if line.len() > 1000 {
            return Err(JsNativeError::range().with_message("a line of more than 1000 bytes").into());
        }
        line.push_str(&argument.to_string(context)?.to_std_string_lossy());
        line.push(' ');
    }
    log::debug!("the script says", line = line.trim_end());
    Ok(JsValue::undefined())
}
