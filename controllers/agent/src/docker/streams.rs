//! What people want of Docker's containers: logs, commands, files; and of registries, through Docker.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::ExecConfig;
use bollard::query_parameters::{
    ContainerArchiveInfoOptions, DownloadFromContainerOptions, LogsOptions, ResizeExecOptions,
    UploadToContainerOptions,
};
use bytes::{Buf, Bytes};
use futures::{StreamExt, TryStreamExt, future, stream};
use skep_api::time::Timestamp;

use super::{Docker, error, hijack};
use crate::engine::{Call, EngineError};
use crate::streams::{Archive, Command, Execution, Line, Lines, LogRange, PathInfo, Size, Streams, Upload};

/// How long an archive may take to be unpacked: it is as long as what people send.
const UPLOAD_LIMIT: Duration = Duration::from_secs(86_400);
/// How often a terminal that is not there yet is given its size, and how long the pauses grow in between (as in `docker exec`).
const RESIZES_MAX: u32 = 5;
const RESIZE_PAUSE: Duration = Duration::from_millis(10);
const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Bits of Go's `os.FileMode`.
const MODE_DIRECTORY: u32 = 1 << 31;

impl Streams for Docker {
    /// Docker is always asked for timestamps: they tell where a stream that broke off goes on, and without them a line of a
    /// terminal that begins with a control character would be taken for the header of a frame.
    fn logs(&self, id: &str, wanted: &LogRange) -> Lines {
        let after_ns = wanted.after_ns;
        let options = LogsOptions {
            follow: wanted.follow,
            stdout: true,
            stderr: true,
            timestamps: true,
            since: after_ns.and_then(|ns| i32::try_from(ns / NANOS_PER_SECOND).ok()).unwrap_or(0),
            tail: wanted.tail.map_or("all".to_owned(), |lines| lines.to_string()),
            ..Default::default()
        };
        let (docker, id) = (self.clone(), id.to_owned());
        let lines = async move {
            let client = docker.client().await?;
            Ok(client
                .logs(&id, Some(options))
                .map_err(error::classify)
                .scan(0, |last_ns, output| future::ready(Some(output.map(|output| line(output, last_ns))))))
        };
        let is_wanted = move |line: &Line| after_ns.is_none_or(|after| line.time_ns > after);
        stream::once(lines).try_flatten().try_filter(move |line| future::ready(is_wanted(line))).boxed()
    }

    fn exec<'a>(&'a self, id: &'a str, command: &'a Command) -> Call<'a, Execution> {
        Box::pin(async move {
            let client = self.client().await?;
            let created = client.create_exec(id, exec_config(command)).await.map_err(error::classify)?;
            let started =
                hijack::start_exec(&self.host, client.client_version(), &created.id, command.tty).await?;
            if let Some(size) = command.size.filter(|_| command.tty) {
                self.size_first(&created.id, size).await;
            }
            Ok(Execution { id: created.id, output: started.output, input: started.input })
        })
    }

    fn resize<'a>(&'a self, execution: &'a str, size: Size) -> Call<'a, ()> {
        Box::pin(async move {
            let options = ResizeExecOptions { h: size.rows.into(), w: size.columns.into() };
            self.client().await?.resize_exec(execution, options).await.map_err(error::classify)
        })
    }

    fn exit_code<'a>(&'a self, execution: &'a str) -> Call<'a, Option<i64>> {
        Box::pin(async move {
            let found = self.client().await?.inspect_exec(execution).await.map_err(error::classify)?;
            Ok(found.exit_code.filter(|_| found.running == Some(false)))
        })
    }

    fn stat<'a>(&'a self, id: &'a str, path: &'a str) -> Call<'a, PathInfo> {
        Box::pin(async move {
            let options = ContainerArchiveInfoOptions { path: path.to_owned() };
            let client = self.client().await?;
            let found = client.get_container_archive_info(id, Some(options)).await;
            let found = found.map_err(error::classify).map_err(|error| {
                // An answer to HEAD has no words.
                let is_missing = matches!(error, EngineError::NotFound(_));
                if is_missing { EngineError::NotFound(format!("there is no {path}")) } else { error }
            })?;
            Ok(PathInfo {
                name: found.name,
                is_directory: found.file_mode & MODE_DIRECTORY != 0,
                link_target: Some(found.link_target).filter(|target| !target.is_empty()),
            })
        })
    }

    fn read_archive(&self, id: &str, path: &str) -> Archive {
        let (docker, id) = (self.clone(), id.to_owned());
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let pieces = async move {
            let client = docker.client().await?;
            Ok(client.download_from_container(&id, Some(options)).map_err(error::classify))
        };
        stream::once(pieces).try_flatten().boxed()
    }

    fn write_archive<'a>(&'a self, id: &'a str, path: &'a str, archive: Upload) -> Call<'a, ()> {
        Box::pin(async move {
            let options = UploadToContainerOptions { path: path.to_owned(), ..Default::default() };
            let client = self.client().await?.with_timeout(UPLOAD_LIMIT);
            let body = bollard::body_try_stream(archive);
            client.upload_to_container(id, Some(options), body).await.map_err(error::classify)
        })
    }

    fn registry_digest<'a>(&'a self, image: &'a str) -> Call<'a, String> {
        Box::pin(async move {
            let found = self.client().await?.inspect_registry_image(image, None).await;
            let digest = found.map_err(error::classify_pull)?.descriptor.digest;
            digest.ok_or_else(|| EngineError::Refused(format!("the registry tells no digest of {image}")))
        })
    }
}

impl Docker {
    /// Gives the terminal of a new command its size. It is there when the process is, which is a moment after Docker has said so;
    /// since API 1.42 Docker would take the size with the command.
    async fn size_first(&self, execution: &str, size: Size) {
        for attempt in 1..=RESIZES_MAX {
            if self.resize(execution, size).await.is_ok() {
                return;
            }
            tokio::time::sleep(RESIZE_PAUSE * attempt).await;
        }
    }
}

fn exec_config(command: &Command) -> ExecConfig {
    ExecConfig {
        attach_stdin: Some(command.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(command.tty),
        env: Some(command.env.clone()).filter(|env| !env.is_empty()),
        cmd: Some(command.args.clone()),
        user: command.user.clone(),
        working_dir: command.workdir.clone(),
        console_size: command.size.map(|size| vec![size.rows.into(), size.columns.into()]),
        ..Default::default()
    }
}

/// A line with its timestamp taken off. Docker puts one before every piece of a long line; what has none is of the time of what
/// came before.
fn line(output: LogOutput, last_ns: &mut i64) -> Line {
    let is_error = matches!(output, LogOutput::StdErr { .. });
    let mut bytes: Bytes = output.into_bytes();
    let stamp = bytes.iter().position(|byte| *byte == b' ');
    let stamp = stamp.and_then(|end| bytes.get(..end)).and_then(|text| std::str::from_utf8(text).ok());
    if let Some((length, time_ns)) = stamp.and_then(|text| Some((text.len(), nanoseconds(text)?))) {
        bytes.advance(length + 1);
        *last_ns = time_ns;
    }
    Line { is_error, time_ns: *last_ns, bytes }
}

/// `2026-01-31T12:00:00.123456789Z` as nanoseconds of Unix time.
fn nanoseconds(text: &str) -> Option<i64> {
    let millis = text.parse::<Timestamp>().ok()?.as_millis();
    let fraction: String = text.split_once('.')?.1.chars().take_while(char::is_ascii_digit).collect();
    let fraction: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    millis.div_euclid(1000).checked_mul(NANOS_PER_SECOND)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_timestamp_and_keeps_everything_else() {
        let mut last = 0;
        let text = b"2026-11-21T02:16:53.007000001Z  hello \n";
        let read = line(LogOutput::StdErr { message: Bytes::from_static(text) }, &mut last);
        let time_ns = 1_795_227_413_007_000_001;
        assert_eq!(read, Line { is_error: true, time_ns, bytes: Bytes::from_static(b" hello \n") });
        let rest = line(LogOutput::Console { message: Bytes::from_static(b"no stamp\r\n") }, &mut last);
        assert_eq!(rest, Line { is_error: false, time_ns, bytes: Bytes::from_static(b"no stamp\r\n") });
    }

    #[test]
    fn a_timestamp_keeps_its_nanoseconds() {
        assert_eq!(nanoseconds("1970-01-01T00:00:01.000000002Z"), Some(1_000_000_002));
        assert_eq!(nanoseconds("1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
        assert_eq!(nanoseconds("hello"), None);
    }
}
