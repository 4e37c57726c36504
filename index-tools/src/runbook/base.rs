//! The vectors that a runbook draws from.

use vicinage::progress::Progress;
use vicinage::vectors::{VectorBlock, Vectors};
use vicinage_datasets::{Batch, InputSpec, ReadOptions, Runbook, open};

use crate::batch::block;
use crate::exit::Failure;
use crate::progress::Reporter;

/// The rows of a base that a runbook needs, in the type that they come in.
pub(crate) struct Base {
    block: VectorBlock,
    dim: usize,
}

impl Base {
    /// Reads the rows below [`Runbook::rows`], as a stage of `report`. They stay in memory: a
    /// runbook takes them in any order and more than once.
    pub(crate) fn read(
        input: &InputSpec,
        runbook: &Runbook,
        report: &Reporter,
    ) -> Result<Self, Failure> {
        let mut reader = open(input, &ReadOptions::without_attributes())?;
        let shape = reader.shape();
        runbook.check_base(shape.rows).map_err(|error| {
            Failure::data(format!("{input} is too small for the runbook {}", runbook.name()))
                .at(format!("step {}", error.step))
                .expected(error.expected, error.found)
        })?;
        report.start("base", Some(runbook.rows()), "rows");
        let mut all: Option<VectorBlock> = None;
        let mut batch = Batch::default();
        let mut rows = 0;
        while rows < runbook.rows() && reader.next_batch(&mut batch)? {
            report.interrupt().check()?;
            rows += batch.rows as u64;
            report.advance(batch.rows as u64);
            let block = block(&mut batch, reader.path())?;
            match &mut all {
                None => all = Some(block),
                Some(all) => all.append(block),
            }
        }
        report.finish();
        let block = all.unwrap_or(VectorBlock::F32(Vec::new()));
        Ok(Self { block, dim: shape.dim as usize })
    }

    #[cfg(test)]
    pub(crate) fn of(block: VectorBlock, dim: usize) -> Self {
        Self { block, dim }
    }

    /// Components of a vector.
    pub(crate) fn rows(&self) -> u64 {
        self.vectors().len() as u64
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn vectors(&self) -> Vectors<'_> {
        Vectors { bytes: self.block.bytes(), element: self.block.element(), dim: self.dim }
    }

    /// Some rows, in the order asked for.
    pub(crate) fn pick(&self, rows: &[u32]) -> VectorBlock {
        self.block.pick(self.dim, rows.iter().map(|&row| row as usize))
    }
}
