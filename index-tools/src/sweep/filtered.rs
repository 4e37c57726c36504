//! Filtered workloads: each group of each shape and selectivity on each build, in turn.

use vicinage::index::{Account, Hit, Index, Scratch, SearchParams};

use super::points::{Ground, Judged, Open, Subject};
use crate::exit::Failure;
use crate::measure::Questions;
use crate::progress::Reporter;
use crate::results::{Point, Results};
use crate::workload::{Prepared, Workload};

impl Questions for &Prepared<'_> {
    type Session = (Scratch, Vec<Hit>);

    fn len(&self) -> usize {
        Prepared::len(self)
    }

    fn session(&self) -> Self::Session {
        Self::Session::default()
    }

    fn ask(
        &self,
        (scratch, hits): &mut Self::Session,
        at: usize,
        params: &SearchParams,
    ) -> Result<Account, Failure> {
        Prepared::ask(self, at, params, scratch, hits)
    }
}

/// Measures every group of `workload` that is not in `results` yet, and adds it there; all points
/// are given back.
pub(crate) fn measure(
    ground: &Ground<'_>,
    workload: &Workload,
    subjects: &[Subject<Index>],
    results: &mut Results,
    report: &Reporter,
) -> Result<Vec<Point>, Failure> {
    workload.check_k(ground.k)?;
    for subject in subjects {
        workload.check_fits(&subject.engine, ground.queries)?;
    }
    let mut points = Vec::new();
    for group in workload.groups() {
        let prepared: Vec<Prepared<'_>> = subjects
            .iter()
            .map(|subject| group.prepare(&subject.engine, ground.queries))
            .collect::<Result<_, _>>()?;
        let mut open = Vec::new();
        for (subject, prepared) in subjects.iter().zip(&prepared) {
            for search in ground.plan.filtered_searches() {
                let params = search.search(ground.k);
                let ran = prepared.run(&params, &mut Scratch::default(), report)?;
                let (recall, figures) = prepared.figures(&ran.answers, ground.k);
                let each = |all: u64| Some(all as f64 / Questions::len(&prepared).max(1) as f64);
                let (distances, visited) = (each(ran.distances), each(ran.visited));
                let judged = Judged { recall, distances, visited, filter: Some(figures) };
                for way in ground.ways(search) {
                    let line =
                        Point { filter: judged.filter.clone(), ..ground.line(&subject.facts, way) };
                    match results.find(&line.key()) {
                        Some(point) => points.push(point.clone()),
                        None => open.push(Open::new(&subject.facts, prepared, way, judged.clone())),
                    }
                }
            }
        }
        ground.time(&mut open, report)?;
        for open in &open {
            let point = ground.finish(open)?;
            results.add(point.clone())?;
            points.push(point);
        }
    }
    Ok(points)
}
