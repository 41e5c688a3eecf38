//! Who watches episodes go by, and images for people: images for contact sheets and videos, MCAP files, training rows.
//!
//! Not responsible for the formats ([`crate::contact_sheet`], [`crate::video`], [`visuomotor_runtime::episode`]).

use crate::config::JOINTS;
use visuomotor_runtime::camera::Image;
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::policy::Decision;
use visuomotor_runtime::step::Step;

/// Sees an episode go by. Every method has a default that ignores what it is shown.
pub trait Observer<const N: usize = JOINTS> {
    fn ticked(&mut self, _step: &Step<N>) {}
    fn decided(
        &mut self,
        _observation: &Observation<'_>,
        _decision: &Decision,
        _decided_at: Instant,
    ) {
    }
    /// The people's view at the last decision, when the rig was built with one.
    fn viewed(&mut self, _view: &Image) {}
}

/// Every image of one episode.
#[derive(Default)]
pub struct Film {
    /// As the policy saw it, one a decision.
    pub seen: Vec<Image>,
    /// As people would see it, where the rig has such a view.
    pub views: Vec<Image>,
}

impl Film {
    pub fn clear(&mut self) {
        self.seen.clear();
        self.views.clear();
    }
}

impl<const N: usize> Observer<N> for Film {
    fn decided(&mut self, observation: &Observation<'_>, _: &Decision, _: Instant) {
        self.seen.push(observation.frame.image.clone());
    }

    fn viewed(&mut self, view: &Image) {
        self.views.push(view.clone());
    }
}

/// Two observers of one episode.
pub struct Both<'a, const N: usize>(pub &'a mut dyn Observer<N>, pub &'a mut dyn Observer<N>);

impl<const N: usize> Observer<N> for Both<'_, N> {
    fn ticked(&mut self, step: &Step<N>) {
        self.0.ticked(step);
        self.1.ticked(step);
    }

    fn decided(&mut self, observation: &Observation<'_>, decision: &Decision, at: Instant) {
        self.0.decided(observation, decision, at);
        self.1.decided(observation, decision, at);
    }

    fn viewed(&mut self, view: &Image) {
        self.0.viewed(view);
        self.1.viewed(view);
    }
}
