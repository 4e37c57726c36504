// ad hoc experiment: exp <base.(npy f16|u8bin)> metric R efc alpha backfill
use std::time::Instant;
use vicinage::{graph::*, kernels::*, progress::Silent, types::*, vectors::*};
fn load(p: &str) -> (VectorBlock, usize) {
    let b = std::fs::read(p).unwrap();
    if p.ends_with("u8bin") {
        let d = u32::from_le_bytes(b[4..8].try_into().unwrap()) as usize;
        return (VectorBlock::U8(b[8..].to_vec()), d);
    }
    if p.ends_with("fbin") {
        let d = u32::from_le_bytes(b[4..8].try_into().unwrap()) as usize;
        return (
            VectorBlock::F32(
                b[8..].chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect(),
            ),
            d,
        );
    }
    let h = u16::from_le_bytes([b[8], b[9]]) as usize;
    let hs = String::from_utf8_lossy(&b[10..10 + h]).to_string();
    let sh = hs.split("'shape': (").nth(1).unwrap();
    let d: usize = sh.split(", ").nth(1).unwrap().split(')').next().unwrap().parse().unwrap();
    let v = b[10 + h..]
        .chunks_exact(2)
        .map(|c| half::f16::from_bits(u16::from_le_bytes([c[0], c[1]])))
        .collect();
    (VectorBlock::F16(v), d)
}
struct Q<'a, E> {
    rows: Rows<'a, E>,
    form: Form<'a>,
    q: &'a [f32],
    g: &'a Graph,
    beam: &'a mut beam::Beam,
    ef: usize,
}
impl<E: Element> Operation for Q<'_, E> {
    type Output = beam::BeamStats;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> beam::BeamStats {
        let s = RowScorer { isa, rows: self.rows, query: self.q, form: self.form };
        let top = self.g.levels.layers.len();
        let (e, mut st) = levels::descend(
            self.beam,
            &s,
            (0..top).rev().map(|l| self.g.levels.layer(l)),
            self.g.levels.entry_slot,
        );
        st.add(self.beam.search(self.g.adjacency(), &s, &[e], self.ef, None));
        st
    }
}
struct Ex<'a, E> {
    rows: Rows<'a, E>,
    n: usize,
    form: Form<'a>,
    q: &'a [f32],
}
impl<E: Element> Operation for Ex<'_, E> {
    type Output = Vec<Neighbor>;
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Vec<Neighbor> {
        let s = RowScorer { isa, rows: self.rows, query: self.q, form: self.form };
        let mut v: Vec<Neighbor> = (0..self.n as u32)
            .map(|i| Neighbor { distance: s.one(NodeId(i)), node: NodeId(i) })
            .collect();
        v.select_nth_unstable(10);
        v.truncate(10);
        v.sort();
        v
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (base, d) = load(&a[1]);
    let (qs, _) = load(&a[2]);
    let metric: Metric = a[3].parse().unwrap();
    let element = base.element();
    vicinage::with_element!(element, E => run::<E>(&base,&qs,d,metric,&a));
}
fn run<E: Element>(base: &VectorBlock, qs: &VectorBlock, d: usize, metric: Metric, a: &[String]) {
    let v = Vectors { bytes: base.bytes(), element: base.element(), dim: d };
    let qv = Vectors { bytes: qs.bytes(), element: qs.element(), dim: d };
    let n = v.len();
    let nq = qv.len().min(1000);
    let mut buf = Vec::new();
    let queries: Vec<Vec<f32>> = (0..nq)
        .map(|i| {
            qv.widen(NodeId(i as u32), &mut buf);
            buf.clone()
        })
        .collect();
    let sq: Vec<f32> = (0..n)
        .map(|i| {
            v.widen(NodeId(i as u32), &mut buf);
            buf.iter().map(|x| x * x).sum::<f32>()
        })
        .collect();
    let scales: Vec<f32> = sq.iter().map(|s| 1.0 / s.sqrt()).collect();
    let bound = sq.iter().cloned().fold(0.0, f32::max);
    let extras: Vec<f32> = sq.iter().map(|s| (bound - s).max(0.0).sqrt()).collect();
    let mut order: Vec<NodeId> = (0..n as u32).map(NodeId).collect();
    let mut x = 88172645463325252u64;
    for i in (1..n).rev() {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        order.swap(i, (x % (i as u64 + 1)) as usize);
    }
    if metric == Metric::Ip {
        order.sort_by(|a, b| sq[b.index()].total_cmp(&sq[a.index()]));
    }
    let rows = v.rows::<E>();
    let form = match metric {
        Metric::L2 => SpaceForm::L2,
        Metric::Cosine => SpaceForm::Cosine(&scales),
        Metric::Ip => SpaceForm::Augmented(bound, &extras),
    };
    let space = RowSpace { rows, form };
    let qform = |q: &[f32]| match metric {
        Metric::L2 => Form::L2,
        Metric::Ip => Form::Ip,
        Metric::Cosine => Form::Cosine {
            query_scale: 1.0 / q.iter().map(|x| x * x).sum::<f32>().sqrt(),
            scales: &scales,
        },
    };
    let t = Instant::now();
    let truth: Vec<Vec<Neighbor>> =
        queries.iter().map(|q| dispatch(Ex { rows, n, form: qform(q), q })).collect();
    eprintln!("truth {:.1}s", t.elapsed().as_secs_f64());
    for spec in &a[4..] {
        let p: Vec<f32> = spec.split(',').map(|x| x.parse().unwrap()).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let t = Instant::now();
        let ip = insert::InsertParams {
            max_degree: p[0] as usize,
            ef_construction: p[1] as usize,
            rule: prune::PruneRule { alpha: p[2], backfill: p[3] > 0.0 },
            seed: 1,
        };
        let mut g = insert::insert_all(&space, &order, &ip, &pool, &Silent).unwrap();
        let bs = t.elapsed().as_secs_f64();
        let att = attach::attach(&mut g, &space, 64);
        let edges: usize = (0..n as u32).map(|i| g.adjacency().neighbors(NodeId(i)).len()).sum();
        println!(
            "{spec}: build {bs:.2}s attached {att} unreach {} degree {:.1} layers {:?}",
            n - attach::reachable(g.adjacency(), g.entry()).len(),
            edges as f64 / n as f64,
            g.levels.layers.iter().map(|l| l.nodes.len()).collect::<Vec<_>>()
        );
        let mut beam = beam::Beam::default();
        for ef in [10, 16, 24, 32, 48, 64, 96, 128, 200, 300, 400] {
            let mut best = f64::MAX;
            let (mut hit, mut hitd, mut dist) = (0, 0, 0);
            for _ in 0..3 {
                hit = 0;
                hitd = 0;
                dist = 0;
                let mut el = 0.0;
                for (q, tr) in queries.iter().zip(&truth) {
                    let t = Instant::now();
                    let st = dispatch(Q { rows, form: qform(q), q, g: &g, beam: &mut beam, ef });
                    el += t.elapsed().as_secs_f64();
                    dist += st.distances;
                    for f in beam.found().iter().take(10) {
                        if tr.iter().any(|t| t.node == f.node) {
                            hit += 1;
                        }
                        if f.distance <= tr[9].distance + 1e-3 * tr[9].distance.abs().min(1.0) {
                            hitd += 1;
                        }
                    }
                }
                best = best.min(el);
            }
            println!(
                "  ef {ef:4} recall {:.4} (dist {:.4}) qps {:6.0} dist/q {}",
                hit as f64 / nq as f64 / 10.0,
                hitd as f64 / nq as f64 / 10.0,
                nq as f64 / best,
                dist / nq as u64
            );
        }
    }
}
