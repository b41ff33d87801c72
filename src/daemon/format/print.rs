//! Options that say how messages are printed, and who prints them.

use clap::Args;

use super::{Format, NotJson};
use crate::packet::Publish;

/// How messages are printed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(in crate::daemon) struct PrintArguments {
    /// Print the topic before each message
    #[arg(short, long)]
    verbose: bool,
    /// Print no end of line after a message
    #[arg(short = 'N')]
    no_end_of_line: bool,
    /// What to print of each message, with the conversions of mosquitto_sub; --help lists them
    ///
    ///   %t topic           %p payload         %x %X payload in hexadecimal
    ///   %q QoS             %r RETAIN          %l length of the payload in bytes
    ///   %m packet identifier                  %P user properties
    ///   %C content type    %R response topic  %D correlation data
    ///   %A topic alias     %E message expiry  %F payload format indicator
    ///   %S subscription identifier            %% a percent sign
    ///   %I time (ISO 8601) %U time (seconds since 1970, with nanoseconds)
    ///   %j a JSON object of all of it         %J the same where the payload is JSON itself
    ///   @X what strftime makes of %X          @N nanoseconds         @@ an at sign
    ///   \n \t \r \0 \a \e \v \\
    ///
    /// Width and precision stand between the percent sign and the letter: %-20t fills up at the right, %06l with
    /// zeros, %10.10t is never longer than 10.
    #[arg(short = 'F', long, value_name = "FORMAT", verbatim_doc_comment, value_parser = parse)]
    format: Option<Format>,
    /// Print the JSON of %j and %J over several lines
    #[arg(long)]
    pretty: bool,
}

/// Turns messages into what is printed.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Printer {
    format: Option<Format>,
    verbose: bool,
    end_of_line: bool,
    pretty: bool,
    quiet: bool,
}

impl PrintArguments {
    /// `quiet`: a payload that is no JSON is not told of.
    pub(in crate::daemon) fn printer(&self, quiet: bool) -> Printer {
        Printer {
            format: self.format.clone(),
            verbose: self.verbose,
            end_of_line: !self.no_end_of_line,
            pretty: self.pretty,
            quiet,
        }
    }
}

impl Printer {
    /// Appends what is printed of a message.
    pub(super) fn print(&self, message: &Publish, out: &mut Vec<u8>) {
        match &self.format {
            Some(format) => {
                if let Err(NotJson) = format.write(message, self.pretty, out)
                    && !self.quiet
                {
                    eprintln!("tidegate: the payload of a message of `{}` is no JSON", message.topic);
                }
            }
            None => self.print_plain(message, out),
        }
        if self.end_of_line {
            out.push(b'\n');
        }
    }

    fn print_plain(&self, message: &Publish, out: &mut Vec<u8>) {
        if self.verbose {
            out.extend_from_slice(message.topic.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(&message.payload);
    }
}

fn parse(text: &str) -> Result<Format, String> {
    text.parse()
}
