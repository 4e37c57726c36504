//! The writer: a message a batch, not compressed.

use std::path::Path;

use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::ArrowError;

use crate::VectorWriter;
use crate::columns::Encoder;
use crate::error::WriteError;
use crate::output::Output;
use crate::spec::{Format, WriteOptions};
use crate::vectors::{Batch, Shape};

enum Messages {
    File(FileWriter<Output>),
    Stream(StreamWriter<Output>),
}

struct IpcWriter {
    messages: Messages,
    encoder: Encoder,
}

/// Creates a stream for format `ArrowStream`, else a file.
pub(crate) fn create(
    path: &Path,
    format: Format,
    shape: Shape,
    options: &WriteOptions,
) -> Result<Box<dyn VectorWriter>, WriteError> {
    let encoder = Encoder::new(path, shape, options)?;
    let output = Output::create(path)?;
    let messages = match format {
        Format::ArrowStream => {
            StreamWriter::try_new(output, encoder.schema()).map(Messages::Stream)
        }
        _ => FileWriter::try_new(output, encoder.schema()).map(Messages::File),
    };
    let messages = messages.map_err(|e| failed(path, e))?;
    Ok(Box::new(IpcWriter { messages, encoder }))
}

impl IpcWriter {
    fn output(&self) -> &Output {
        match &self.messages {
            Messages::File(writer) => writer.get_ref(),
            Messages::Stream(writer) => writer.get_ref(),
        }
    }
}

impl VectorWriter for IpcWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), WriteError> {
        let path = self.output().path().to_owned();
        let rows = self.encoder.encode(&path, batch)?;
        match &mut self.messages {
            Messages::File(writer) => writer.write(&rows),
            Messages::Stream(writer) => writer.write(&rows),
        }
        .map_err(|e| failed(&path, e))
    }

    fn finish(self: Box<Self>) -> Result<(), WriteError> {
        let path = self.output().path().to_owned();
        self.encoder.check_count(&path)?;
        match self.messages {
            Messages::File(writer) => writer.into_inner(),
            Messages::Stream(writer) => writer.into_inner(),
        }
        .map_err(|e| failed(&path, e))?
        .finish()
    }
}

/// An error of the library, which on checked input is one of the system's.
fn failed(path: &Path, error: ArrowError) -> WriteError {
    WriteError::io("write", path)(std::io::Error::other(error))
}
