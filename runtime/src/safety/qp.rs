//! A small dense quadratic program, solved exactly in bounded time without allocation.
//!
//! ```text
//! minimise ½ xᵀHx + gᵀx + Σ sᵢ²/(2 softnessᵢ)   subject to   lower <= x <= upper,   aᵢ·x <= boundᵢ + sᵢ
//! ```
//!
//! The method is a dual active set on the least-distance form (D. Arnström, A. Bemporad, D. Axehill, "A Dual Active-Set
//! Solver for Embedded Quadratic Programming Using Recursive LDLᵀ Updates", IEEE TAC 2022). A slack costs a term on the
//! diagonal of the dual, so soft rows need no variables of their own, and a problem whose only hard constraints are a
//! box that is not empty always has a solution.
//!
//! Not responsible for what is minimised: [`super`] has no opinion on how a motion should look.

use nalgebra::{SMatrix, SVector};

/// More rows than this are never active together; a problem that needs more ends with [`Status::Unresolved`].
const ACTIVE_MAX: usize = 24;
const ITERATIONS_MAX: u32 = 60;
/// Steps that only mend rounding, between two changes of the active set.
const REFINEMENTS_MAX: u32 = 2;
/// A constraint counts as kept when it is violated by less than this, relative to the length of its row in the
/// coordinates in which H is the identity.
const TOLERANCE: f64 = 1e-9;
/// The same for an answer that cannot be made more exact.
const INEXACT_MAX: f64 = 1e-6;
/// Only hard rows contradict each other: a soft row's share in that is rounding.
const SOFT_SHARE_MAX: f64 = 1e-6;
/// A row whose part that is independent of the active ones is shorter than this, squared and relative, depends on them.
const INDEPENDENT: f64 = 1e-12;

/// a·x <= bound, hard where `softness` is 0; else breaking it by s costs s²/(2 softness).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<const V: usize> {
    pub a: SVector<f64, V>,
    pub bound: f64,
    pub softness: f64,
}

/// V variables, at most M rows beside the box.
#[derive(Clone, Copy, Debug)]
pub struct Problem<const V: usize, const M: usize> {
    /// Symmetric and positive definite; only the lower triangle is read.
    pub hessian: SMatrix<f64, V, V>,
    pub gradient: SVector<f64, V>,
    pub lower: SVector<f64, V>,
    pub upper: SVector<f64, V>,
    rows: [Row<V>; M],
    used: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Optimal,
    /// No x keeps all hard constraints.
    Infeasible,
    /// The iterations or the room for active rows ran out, or hard rows nearly contradict each other.
    Unresolved,
    /// The Hessian is not positive definite.
    NotConvex,
    NotFinite,
}

#[derive(Clone, Copy, Debug)]
pub struct Solution<const V: usize> {
    /// The minimiser where the status is optimal; else finite or not, and to be ignored.
    pub x: SVector<f64, V>,
    pub status: Status,
    pub iterations: u32,
    /// To start the next, similar problem from.
    pub active: ActiveSet,
}

/// A side of a constraint; box rows come first, then the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Side {
    row: u8,
    /// The lower side of a box row.
    lower: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActiveSet {
    sides: [Side; ACTIVE_MAX],
    len: usize,
}

impl<const V: usize, const M: usize> Problem<V, M> {
    /// No rows yet, and a box that holds everything.
    pub fn new(hessian: SMatrix<f64, V, V>, gradient: SVector<f64, V>) -> Self {
        Self {
            hessian,
            gradient,
            lower: SVector::repeat(f64::NEG_INFINITY),
            upper: SVector::repeat(f64::INFINITY),
            rows: [Row {
                a: SVector::zeros(),
                bound: 0.0,
                softness: 0.0,
            }; M],
            used: 0,
        }
    }

    /// False, and nothing added, when there is no room for it.
    pub fn push(&mut self, row: Row<V>) -> bool {
        let Some(slot) = self.rows.get_mut(self.used) else {
            return false;
        };
        *slot = row;
        self.used += 1;
        true
    }

    pub fn rows(&self) -> &[Row<V>] {
        &self.rows[..self.used]
    }

    pub fn solve(&self, start: &ActiveSet) -> Solution<V> {
        let failed = |status| Solution {
            x: SVector::repeat(f64::NAN),
            status,
            iterations: 0,
            active: ActiveSet::default(),
        };
        if !self.is_finite() {
            return failed(Status::NotFinite);
        }
        if (0..V).any(|i| self.lower[i] > self.upper[i]) {
            return failed(Status::Infeasible);
        }
        let Some(mut dual) = Dual::new(self) else {
            return failed(Status::NotConvex);
        };
        dual.start(start);
        let (status, iterations) = dual.run();
        let x = dual.x();
        let finite = x.iter().all(|x| x.is_finite());
        Solution {
            x,
            status: if finite { status } else { Status::NotFinite },
            iterations,
            active: dual.active,
        }
    }

    /// The box may be infinite on its outer sides; nothing else may.
    fn is_finite(&self) -> bool {
        let finite = |x: &f64| x.is_finite();
        self.hessian.iter().all(finite)
            && self.gradient.iter().all(finite)
            && self.lower.iter().all(|&x| x < f64::INFINITY)
            && self.upper.iter().all(|&x| x > f64::NEG_INFINITY)
            && self.rows().iter().all(|row| {
                row.a.iter().all(finite) && row.bound.is_finite() && row.softness.is_finite()
            })
    }
}

/// The problem in coordinates u = Rx + R⁻ᵀg with H = RᵀR: minimise ½|u|² subject to the transformed rows.
struct Dual<'a, const V: usize, const M: usize> {
    problem: &'a Problem<V, M>,
    /// Box rows in the new coordinates: the rows of R⁻¹.
    sides: [Normal<V>; V],
    /// The other rows in the new coordinates.
    rows: [Normal<V>; M],
    /// x of u = 0.
    x0: SVector<f64, V>,
    active: ActiveSet,
    multipliers: [f64; ACTIVE_MAX],
    /// L and D of the Gram matrix of the active rows, plus their softness on its diagonal.
    factor: [[f64; ACTIVE_MAX]; ACTIVE_MAX],
    pivots: [f64; ACTIVE_MAX],
    /// How far each active row is from its bound, which its softness may have moved.
    residuals: [f64; ACTIVE_MAX],
    u: SVector<f64, V>,
}

#[derive(Clone, Copy)]
struct Normal<const V: usize> {
    n: SVector<f64, V>,
    length: f64,
    /// How far its bound from above is at u = 0.
    room: f64,
}

impl<'a, const V: usize, const M: usize> Dual<'a, V, M> {
    fn new(problem: &'a Problem<V, M>) -> Option<Self> {
        let inverse = inverse_of_factor(&problem.hessian)?;
        // R⁻ᵀ, whose columns are the box rows.
        let transform = |a: &SVector<f64, V>| {
            let mut n = SVector::zeros();
            for (column, a) in inverse.iter().zip(a) {
                n += column * *a;
            }
            n
        };
        let shift = transform(&problem.gradient);
        let x0 = SVector::from_fn(|i, _| -dot(&inverse[i], &shift));
        let normal = |n: SVector<f64, V>, room: f64| Normal {
            n,
            length: dot(&n, &n).sqrt(),
            room,
        };
        let sides = std::array::from_fn(|i| normal(inverse[i], problem.upper[i] - x0[i]));
        let mut rows = [normal(SVector::zeros(), 0.0); M];
        for (transformed, row) in rows.iter_mut().zip(problem.rows()) {
            *transformed = normal(transform(&row.a), row.bound - dot(&row.a, &x0));
        }
        Some(Self {
            problem,
            sides,
            rows,
            x0,
            active: ActiveSet::default(),
            multipliers: [0.0; ACTIVE_MAX],
            factor: [[0.0; ACTIVE_MAX]; ACTIVE_MAX],
            pivots: [0.0; ACTIVE_MAX],
            residuals: [0.0; ACTIVE_MAX],
            u: SVector::zeros(),
        })
    }

    fn x(&self) -> SVector<f64, V> {
        SVector::from_fn(|i, _| self.x0[i] + dot(&self.sides[i].n, &self.u))
    }

    /// Takes up what was active before, as far as it still exists and is independent.
    fn start(&mut self, active: &ActiveSet) {
        for &side in &active.sides[..active.len] {
            let exists = usize::from(side.row) < V + self.problem.used;
            if exists && self.room(side).is_finite() {
                self.add(side);
                if self.is_dependent() {
                    self.active.len -= 1;
                }
            }
        }
    }

    fn run(&mut self) -> (Status, u32) {
        let mut refinements = 0;
        for iteration in 1..=ITERATIONS_MAX {
            let n = self.active.len;
            let dependent = n > 0 && self.is_dependent();
            let (direction, full) = if dependent {
                (self.null_direction(), f64::INFINITY)
            } else {
                (self.newton_direction(), 1.0)
            };
            let (mut share, mut blocking) = (full, None);
            for (k, (l, p)) in self.multipliers.iter().zip(&direction).take(n).enumerate() {
                if *p < 0.0 && -l / p < share {
                    (share, blocking) = (-l / p, Some(k));
                }
            }
            if share == f64::INFINITY {
                let proven = self.is_contradiction(&direction);
                let status = [Status::Unresolved, Status::Infeasible][usize::from(proven)];
                return (status, iteration);
            }
            for (l, p) in self.multipliers.iter_mut().zip(&direction).take(n) {
                *l += share * p;
            }
            if let Some(k) = blocking {
                self.remove(k);
            }
            self.place();
            if blocking.is_some() {
                continue;
            }
            let inexact = self.inexactness();
            if refinements < REFINEMENTS_MAX && inexact > TOLERANCE {
                refinements += 1;
                continue;
            }
            refinements = 0;
            match self.most_violated() {
                None if inexact > INEXACT_MAX => return (Status::Unresolved, iteration),
                None => return (Status::Optimal, iteration),
                Some(_) if n == ACTIVE_MAX => return (Status::Unresolved, iteration),
                Some(side) => self.add(side),
            }
        }
        (Status::Unresolved, ITERATIONS_MAX)
    }

    /// A row in the new coordinates, and the sign with which it bounds from above.
    #[inline]
    fn row(&self, side: Side) -> (&Normal<V>, f64) {
        match usize::from(side.row) {
            i if i < V => (&self.sides[i], if side.lower { -1.0 } else { 1.0 }),
            i => (&self.rows[i - V], 1.0),
        }
    }

    fn softness(&self, side: Side) -> f64 {
        match usize::from(side.row) {
            i if i < V => 0.0,
            i => self.problem.rows[i - V].softness,
        }
    }

    /// How far the row is from its bound at u = 0.
    fn room(&self, side: Side) -> f64 {
        match usize::from(side.row) {
            i if i < V && side.lower => self.x0[i] - self.problem.lower[i],
            i if i < V => self.sides[i].room,
            i => self.rows[i - V].room,
        }
    }

    /// The point that belongs to the multipliers, and how far each active row is from where it should be there.
    fn place(&mut self) {
        let n = self.active.len;
        let mut u = SVector::zeros();
        for k in 0..n {
            let (row, sign) = self.row(self.active.sides[k]);
            u -= row.n * (sign * self.multipliers[k]);
        }
        self.u = u;
        for k in 0..n {
            let side = self.active.sides[k];
            let (row, sign) = self.row(side);
            let soft = self.softness(side) * self.multipliers[k];
            self.residuals[k] = self.room(side) - sign * dot(&row.n, &u) + soft;
        }
    }

    /// How far rounding has left an active row off its bound at most, relative to its length: large multipliers nearly
    /// cancel where rows nearly depend on each other. Another step from there mends it.
    fn inexactness(&self) -> f64 {
        let active = self.active.sides.iter().zip(&self.residuals);
        active
            .take(self.active.len)
            .map(|(&side, residual)| {
                residual.abs() / self.row(side).0.length.max(f64::MIN_POSITIVE)
            })
            .fold(0.0, f64::max)
    }

    fn most_violated(&self) -> Option<Side> {
        let (mut worst, mut found) = (-TOLERANCE, None);
        // A box row whose other side is active can only be off by rounding.
        let active = &self.active.sides[..self.active.len];
        let mut look = |side: Side, room: f64, length: f64| {
            if room < worst * length && active.iter().all(|other| other.row != side.row) {
                (worst, found) = (room / length, Some(side));
            }
        };
        for (i, row) in self.sides.iter().enumerate() {
            let moved = dot(&row.n, &self.u);
            for lower in [true, false] {
                let side = Side {
                    row: i as u8,
                    lower,
                };
                let sign = if lower { -1.0 } else { 1.0 };
                look(side, self.room(side) - sign * moved, row.length);
            }
        }
        for (i, row) in self.rows[..self.problem.used].iter().enumerate() {
            let side = Side {
                row: (V + i) as u8,
                lower: false,
            };
            look(side, row.room - dot(&row.n, &self.u), row.length);
        }
        found
    }

    fn add(&mut self, side: Side) {
        let n = self.active.len;
        self.active.sides[n] = side;
        self.multipliers[n] = 0.0;
        let (row, sign) = self.row(side);
        self.residuals[n] = self.room(side) - sign * dot(&row.n, &self.u);
        self.active.len = n + 1;
        self.factorise(n);
    }

    fn remove(&mut self, k: usize) {
        let n = self.active.len;
        self.active.sides.copy_within(k + 1..n, k);
        self.multipliers.copy_within(k + 1..n, k);
        self.residuals.copy_within(k + 1..n, k);
        self.active.len = n - 1;
        for j in k..n - 1 {
            self.factorise(j);
        }
    }

    /// Row `n` of the factors, from the rows above it.
    fn factorise(&mut self, n: usize) {
        let side = self.active.sides[n];
        let (row, sign) = self.row(side);
        let row = *row;
        let mut pivot = row.length * row.length + self.softness(side);
        // Each entry times its pivot.
        let mut products = [0.0; ACTIVE_MAX];
        for k in 0..n {
            let (other, other_sign) = self.row(self.active.sides[k]);
            let product = sign * other_sign * dot(&row.n, &other.n);
            let before = self.factor[k].iter().zip(&products).take(k);
            let product = before.fold(product, |sum, (l, product)| sum - l * product);
            let entry = product / self.pivots[k];
            products[k] = product;
            self.factor[n][k] = entry;
            pivot -= entry * product;
        }
        // In exact arithmetic it is never smaller.
        self.pivots[n] = pivot.max(self.softness(side));
    }

    /// Whether the newest active row depends on the others.
    fn is_dependent(&self) -> bool {
        let n = self.active.len - 1;
        let side = self.active.sides[n];
        self.softness(side) == 0.0
            && self.pivots[n] <= INDEPENDENT * self.row(side).0.length.powi(2)
    }

    /// From the multipliers to those that minimise the dual on the active rows.
    fn newton_direction(&self) -> [f64; ACTIVE_MAX] {
        let n = self.active.len;
        let mut y = [0.0; ACTIVE_MAX];
        for k in 0..n {
            let before = self.factor[k].iter().zip(&y).take(k);
            y[k] = before.fold(-self.residuals[k], |sum, (l, y)| sum - l * y);
        }
        for (y, pivot) in y.iter_mut().zip(&self.pivots).take(n) {
            *y /= pivot;
        }
        self.back_substitute(&mut y, n);
        y
    }

    /// The multipliers of the combination of active rows that vanishes; the newest row's grows.
    fn null_direction(&self) -> [f64; ACTIVE_MAX] {
        let n = self.active.len - 1;
        let mut p = [0.0; ACTIVE_MAX];
        for (p, l) in p.iter_mut().zip(&self.factor[n]).take(n) {
            *p = -l;
        }
        self.back_substitute(&mut p, n);
        p[n] = 1.0;
        p
    }

    /// Whether this nonnegative combination of active rows, in which the variables vanish, says 0 <= something negative
    /// (Farkas' lemma), and not merely something that rounding has made so.
    fn is_contradiction(&self, combination: &[f64; ACTIVE_MAX]) -> bool {
        let (mut sum, mut bound, mut size) = (SVector::<f64, V>::zeros(), 0.0, 0.0);
        let active = self.active.sides.iter().zip(combination);
        for (&side, &p) in active.take(self.active.len) {
            if p > SOFT_SHARE_MAX && self.softness(side) > 0.0 {
                return false;
            }
            let (row, sign) = self.row(side);
            sum += row.n * (sign * p);
            bound += p * self.room(side);
            size += p * row.length;
        }
        sum.norm() <= INEXACT_MAX * size && bound < -INEXACT_MAX * size
    }

    /// Solves Lᵀy = y on the first `n` rows.
    fn back_substitute(&self, y: &mut [f64; ACTIVE_MAX], n: usize) {
        for k in (1..n).rev() {
            let known = y[k];
            for (y, l) in y.iter_mut().zip(&self.factor[k]).take(k) {
                *y -= l * known;
            }
        }
    }
}

/// R⁻¹ row by row, with H = RᵀR; `None` when H is not positive definite.
///
/// nalgebra's own solves this for any size, in many small pieces.
#[inline]
fn inverse_of_factor<const V: usize>(h: &SMatrix<f64, V, V>) -> Option<[SVector<f64, V>; V]> {
    // L = Rᵀ column by column, with the reciprocals of its diagonal.
    let mut l = [SVector::<f64, V>::zeros(); V];
    let mut reciprocals = [0.0; V];
    for j in 0..V {
        let mut column = h.column(j).into_owned();
        for earlier in &l[..j] {
            column -= earlier * earlier[j];
        }
        if column[j] <= 0.0 || column[j].is_nan() {
            return None;
        }
        reciprocals[j] = 1.0 / column[j].sqrt();
        l[j] = column * reciprocals[j];
    }
    // Column i of L⁻¹ by forward substitution.
    Some(std::array::from_fn(|i| {
        let mut inverse = SVector::<f64, V>::zeros();
        inverse[i] = 1.0;
        for k in i..V {
            let entry = inverse[k] * reciprocals[k];
            for r in k + 1..V {
                inverse[r] -= l[k][r] * entry;
            }
            inverse[k] = entry;
        }
        inverse
    }))
}

/// In two sums, which do not wait for each other.
#[inline]
fn dot<const V: usize>(a: &SVector<f64, V>, b: &SVector<f64, V>) -> f64 {
    let mut sums = [0.0; 2];
    for i in 0..V {
        sums[i % 2] += a[i] * b[i];
    }
    sums[0] + sums[1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    const V: usize = 7;
    const M: usize = 12;
    type Small = Problem<V, M>;

    /// Random problems, among them degenerate ones: equal bounds, repeated and opposite rows, zero rows, empty sets.
    fn random(rng: &mut impl Rng) -> Small {
        let root = SMatrix::<f64, V, V>::from_fn(|_, _| within(rng, 1.0));
        let damping = 10f64.powf(within(rng, 2.5) - 1.5);
        let hessian = root.transpose() * root + SMatrix::identity() * damping;
        let gradient = SVector::from_fn(|_, _| within(rng, 10.0));
        let mut problem = Small::new(hessian, gradient);
        for i in 0..V {
            let (a, b) = (within(rng, 2.0), within(rng, 2.0));
            (problem.lower[i], problem.upper[i]) = match rng.random_range(0..6) {
                0 => (a, a),
                1 => (f64::NEG_INFINITY, a),
                2 => (a, f64::INFINITY),
                _ => (a.min(b), a.max(b)),
            };
        }
        let mut last = Row {
            a: SVector::zeros(),
            bound: 1.0,
            softness: 0.0,
        };
        for _ in 0..rng.random_range(0..=M) {
            let fresh = Row {
                a: SVector::from_fn(|_, _| within(rng, 1.0)),
                bound: within(rng, 1.0) + 0.8,
                softness: 0.0,
            };
            let softness = 10f64.powf(within(rng, 3.0) - 3.0);
            last = match rng.random_range(0..8) {
                0 => last,
                1 => Row {
                    a: -last.a,
                    bound: 0.01 - last.bound,
                    ..last
                },
                2 => Row {
                    a: 3.0 * last.a,
                    bound: 3.0 * last.bound,
                    ..last
                },
                3..=5 => Row { softness, ..fresh },
                _ => fresh,
            };
            assert!(problem.push(last));
        }
        problem
    }

    fn within(rng: &mut impl Rng, scale: f64) -> f64 {
        scale * (2.0 * rng.random::<f64>() - 1.0)
    }

    /// The largest violation of the optimality conditions, relative to the sizes that enter them.
    fn optimality_gap(problem: &Small, dual: &Dual<'_, V, M>) -> f64 {
        let x = dual.x();
        let mut gap = 0.0f64;
        for i in 0..V {
            gap = gap
                .max(problem.lower[i] - x[i])
                .max(x[i] - problem.upper[i]);
        }
        let mut stationary = problem.hessian * x + problem.gradient;
        let mut size = 1.0 + problem.gradient.norm() + x.norm();
        let mut moved = [0.0; M];
        for (side, multiplier) in active(dual) {
            gap = gap.max(-multiplier);
            let (a, _, softness) = constraint(problem, side);
            stationary += a * multiplier;
            size += a.norm() * multiplier;
            if usize::from(side.row) >= V {
                moved[usize::from(side.row) - V] = softness * multiplier;
            }
        }
        for (row, moved) in problem.rows().iter().zip(moved) {
            gap = gap.max((row.a.dot(&x) - row.bound - moved) / (1.0 + row.a.norm()));
        }
        gap.max(stationary.norm() / size)
    }

    /// That the last step proved that nothing keeps all hard constraints: a nonnegative combination of them that says
    /// 0 <= something negative (Farkas).
    fn is_proof_of_infeasibility(problem: &Small, dual: &Dual<'_, V, M>) -> bool {
        let direction = dual.null_direction();
        let (mut sum, mut bound, mut size) = (SVector::<f64, V>::zeros(), 0.0, 0.0);
        for ((side, _), p) in active(dual).zip(direction) {
            let (a, b, softness) = constraint(problem, side);
            if p < 0.0 || softness > 0.0 && p > SOFT_SHARE_MAX {
                return false;
            }
            sum += a * p;
            bound += b * p;
            size += a.norm() * p;
        }
        bound < 0.0 && sum.norm() <= 1e-4 * size
    }

    fn active<'a>(dual: &'a Dual<'_, V, M>) -> impl Iterator<Item = (Side, f64)> + 'a {
        let sides = dual.active.sides.iter().take(dual.active.len).copied();
        sides.zip(dual.multipliers)
    }

    /// Row, bound and softness of a side as a constraint from above.
    fn constraint(problem: &Small, side: Side) -> (SVector<f64, V>, f64, f64) {
        match usize::from(side.row) {
            i if i < V && side.lower => (-SVector::ith(i, 1.0), -problem.lower[i], 0.0),
            i if i < V => (SVector::ith(i, 1.0), problem.upper[i], 0.0),
            i => {
                let row = &problem.rows[i - V];
                (row.a, row.bound, row.softness)
            }
        }
    }

    #[test]
    fn a_box_that_is_not_empty_and_soft_rows_always_have_an_answer() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        for trial in 0..5_000 {
            let mut problem = random(&mut rng);
            for row in &mut problem.rows {
                row.softness = row.softness.max(1e-6);
            }
            let solution = problem.solve(&ActiveSet::default());
            assert_eq!(solution.status, Status::Optimal, "trial {trial}");
            // The same from the answer's own active rows, in hardly any steps.
            let again = problem.solve(&solution.active);
            assert_eq!(again.status, Status::Optimal, "trial {trial}");
            assert!(
                (again.x - solution.x).norm() < 1e-5 * (1.0 + solution.x.norm()),
                "trial {trial}"
            );
            assert!(
                again.iterations <= solution.iterations.max(4),
                "trial {trial}"
            );
        }
    }

    #[test]
    fn what_is_no_problem_is_refused() {
        let hessian = SMatrix::<f64, V, V>::identity();
        let gradient = SVector::<f64, V>::zeros();
        let solve = |change: &dyn Fn(&mut Small)| {
            let mut problem = Small::new(hessian, gradient);
            change(&mut problem);
            problem.solve(&ActiveSet::default()).status
        };
        assert_eq!(solve(&|_| {}), Status::Optimal);
        assert_eq!(solve(&|p| p.gradient[3] = f64::NAN), Status::NotFinite);
        assert_eq!(solve(&|p| p.lower[0] = f64::NAN), Status::NotFinite);
        assert_eq!(
            solve(&|p| p.upper[0] = f64::NEG_INFINITY),
            Status::NotFinite
        );
        assert_eq!(
            solve(&|p| p.hessian[(2, 2)] = f64::INFINITY),
            Status::NotFinite
        );
        assert_eq!(solve(&|p| p.hessian[(2, 2)] = -1.0), Status::NotConvex);
        assert_eq!(
            solve(&|p| (p.lower[0], p.upper[0]) = (1.0, 0.0)),
            Status::Infeasible
        );
        let huge = |p: &mut Small| p.gradient.fill(1e300);
        assert_ne!(solve(&huge), Status::NotConvex);
    }

    #[test]
    fn answers_are_proven_on_random_problems() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let (mut optimal, mut infeasible, mut unresolved) = (0, 0, 0);
        let (mut most, mut worst) = (0, 0.0f64);
        for trial in 0..20_000 {
            let problem = random(&mut rng);
            let mut dual = Dual::new(&problem).unwrap();
            let (status, iterations) = dual.run();
            most = most.max(iterations);
            match status {
                Status::Optimal => {
                    optimal += 1;
                    let gap = optimality_gap(&problem, &dual);
                    worst = worst.max(gap);
                    assert!(gap < 2e-5, "trial {trial}: gap {gap:e} after {iterations}");
                }
                Status::Infeasible => {
                    infeasible += 1;
                    assert!(is_proof_of_infeasibility(&problem, &dual), "trial {trial}");
                }
                Status::Unresolved => unresolved += 1,
                other => panic!("trial {trial}: {other:?}"),
            }
        }
        println!(
            "{optimal} optimal, gap <= {worst:e}; {infeasible} infeasible; {unresolved} neither; <= {most} iterations"
        );
        assert!(optimal > 10_000 && infeasible > 1000 && unresolved <= 100);
    }
}
