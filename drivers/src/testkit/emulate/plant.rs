//! What moves when emulated drives push.

use std::cell::RefCell;
use std::rc::Rc;

/// The mechanics behind emulated drives: joints base to tip, and the fingers as the last one. Every value is the joint's own:
/// rad, rad/s and N·m, whatever gear lies between drive and joint.
pub trait Plant {
    fn joints(&self) -> usize;
    /// Of one [`Plant::step`], s.
    fn step_s(&self) -> f64;
    /// Position and velocity.
    fn state(&self, joint: usize) -> (f64, f64);
    /// Moves on by one step under these torques, one a joint.
    fn step(&mut self, tau_nm: &[f64]);
}

/// Mechanics that others look at as well.
impl<P: Plant> Plant for Rc<RefCell<P>> {
    fn joints(&self) -> usize {
        self.borrow().joints()
    }

    fn step_s(&self) -> f64 {
        self.borrow().step_s()
    }

    fn state(&self, joint: usize) -> (f64, f64) {
        self.borrow().state(joint)
    }

    fn step(&mut self, tau_nm: &[f64]) {
        self.borrow_mut().step(tau_nm);
    }
}

/// Joints that know nothing of one another: an inertia each, with friction, without gravity.
#[derive(Clone, Debug)]
pub struct Inertias {
    step_s: f64,
    /// kg·m².
    inertia: f64,
    /// N·m·s/rad.
    friction: f64,
    state: Vec<(f64, f64)>,
}

impl Inertias {
    /// At rest at these positions, rad.
    pub fn at(q: &[f64], inertia: f64, friction: f64, step_s: f64) -> Self {
        Self {
            step_s,
            inertia,
            friction,
            state: q.iter().map(|&q| (q, 0.0)).collect(),
        }
    }

    /// Somebody's hand moves a joint to `q` with `dq`.
    pub fn place(&mut self, joint: usize, q: f64, dq: f64) {
        self.state[joint] = (q, dq);
    }
}

impl Plant for Inertias {
    fn joints(&self) -> usize {
        self.state.len()
    }

    fn step_s(&self) -> f64 {
        self.step_s
    }

    fn state(&self, joint: usize) -> (f64, f64) {
        self.state[joint]
    }

    /// Semi-implicit Euler, friction implicit: stable for every step.
    fn step(&mut self, tau_nm: &[f64]) {
        for ((q, dq), tau) in self.state.iter_mut().zip(tau_nm) {
            let factor = 1.0 + self.step_s * self.friction / self.inertia;
            *dq = (*dq + self.step_s * tau / self.inertia) / factor;
            *q += self.step_s * *dq;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushed_inertia_accelerates_as_newton_says_and_friction_ends_it() {
        let mut plant = Inertias::at(&[0.5, 0.0], 0.2, 0.0, 1e-3);
        for _ in 0..1000 {
            plant.step(&[0.1, 0.0]);
        }
        let (q, dq) = plant.state(0);
        assert!((dq - 0.5).abs() < 1e-9, "{dq}");
        assert!((q - 0.75).abs() < 1e-3, "{q}");
        assert_eq!(plant.state(1), (0.0, 0.0));
        let mut plant = Inertias::at(&[0.0], 0.01, 50.0, 1e-2);
        plant.place(0, 0.0, 10.0);
        (0..100).for_each(|_| plant.step(&[0.0]));
        assert!(plant.state(0).1.abs() < 1e-6);
    }
}
