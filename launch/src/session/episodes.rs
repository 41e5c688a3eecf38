//! The episodes of a session, one after the other: bring the tool to a start pose, let the policy play, judge, record.
//!
//! Not responsible for the threads that do it ([`super`]).

use super::{LOOK_MS, PATIENCE, REST, REST_RAD_PER_S, SPLIT, Session, SessionError, held_by};
use crate::config::OnLoss;
use crate::played::Played;
use crate::recording::Particulars;
use crate::report::EpisodeResult;
use crate::status::Status;
use crate::supervision::Signs;
use crate::wiring;
use crossbeam::channel::RecvTimeoutError;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::f64::consts::TAU;
use std::sync::atomic::{AtomicBool, Ordering};
use visuomotor_runtime::clock::linux::LinuxMono;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::controller::Request;
use visuomotor_runtime::episode::{
    Condition, Ending, EpisodeError, EpisodeWriter, Losses, Outcome,
};
use visuomotor_runtime::fault::Fault;
use visuomotor_runtime::kinematics::pose;
use visuomotor_runtime::observation::TcpPose;
use visuomotor_runtime::phase::Phase;
use visuomotor_runtime::safety::StopCategory;
use visuomotor_runtime::step::Step;

/// The tool has arrived when it is this close to where it was sent, m and rad.
const ARRIVED: f64 = 0.005;
const APPROACH_MAX: Duration = Duration::from_ticks(10_000_000_000);
/// An arm that comes inward gets nearer by this, rad, within this time, or does not get there.
const NEARER_RAD: f64 = 0.005;
const NEARER_WITHIN: Duration = Duration::from_ticks(5_000_000_000);
/// The gripper holds still for this long before the end is judged.
const SETTLE: Duration = Duration::from_ticks(250_000_000);
/// What is repeated begins no further than this from where it began.
const START_M_MAX: f64 = 0.01;
const START_RAD_MAX: f64 = 0.05;

impl<const N: usize> Session<'_, N> {
    pub(super) fn episodes(
        &mut self,
        first_start: TcpPose,
        rng: &mut Xoshiro256PlusPlus,
        interrupted: &AtomicBool,
    ) -> Result<(), SessionError> {
        let began = LinuxMono::now();
        let mut start = first_start;
        for k in 0.. {
            let enough = self
                .plan
                .episodes
                .is_some_and(|episodes| k >= u64::from(episodes));
            let elapsed_s = (LinuxMono::now() - began).as_nanos() as f64 * 1e-9;
            let over = self
                .plan
                .seconds
                .is_some_and(|seconds| elapsed_s >= seconds);
            if enough || over || interrupted.load(Ordering::Relaxed) {
                break;
            }
            let seed = self.plan.seed + k;
            self.seed = seed;
            if k > 0 {
                start = wiring::draw_start(self.launch, rng);
            }
            self.policy_seed = rng.random();
            if !self.approach(seed, start, interrupted)? {
                continue;
            }
            if self.plan.repeat.is_some() {
                self.check_start(&start)?;
            }
            if k > 0 {
                // Only now that the fingers are up: new objects may lie where they were.
                self.change_scene(seed)?;
            }
            self.episode(seed, interrupted)?;
        }
        self.request(Request::Hold)?;
        self.wait(SETTLE)
    }

    /// The arm goes on where it is; in simulation the tray is another one.
    fn change_scene(&mut self, seed: u64) -> Result<(), SessionError> {
        let Some(stage) = &mut self.stage else {
            return Ok(());
        };
        stage.prepare(seed)?;
        while !self.stage.as_mut().is_none_or(|stage| stage.present()) {
            self.wait(Duration::from_ticks(LOOK_MS * 1_000_000))?;
        }
        // Until the first frame of the new scene is there.
        self.wait(SETTLE)
    }

    /// Begins the record of an episode and brings the tool to the start pose. False when that takes too long, or a person
    /// interrupts.
    fn approach(
        &mut self,
        seed: u64,
        start: TcpPose,
        interrupted: &AtomicBool,
    ) -> Result<bool, SessionError> {
        let mut began = LinuxMono::now();
        let mut begun = false;
        let mut rearmed = false;
        let mut moved_at = LinuxMono::now();
        let (mut nearest_rad, mut nearer_at) = (f64::INFINITY, LinuxMono::now());
        self.request(Request::Hold)?;
        loop {
            self.wait(Duration::from_ticks(LOOK_MS * 1_000_000))?;
            if interrupted.load(Ordering::Relaxed) {
                break;
            }
            let Some(step) = self.newest_step() else {
                continue;
            };
            // A servo gives way when it takes a weight over, also from the reference that it is re-armed at.
            let speed = step.measured().map(|state| state.dq.0.amax());
            if speed.is_none_or(|speed| speed > REST_RAD_PER_S) {
                moved_at = LinuxMono::now();
            }
            let rests = LinuxMono::now() - moved_at >= REST;
            let off = (step.reference.position_m - start.position_m).amax();
            let turned = (step.reference.yaw_rad - start.yaw_rad).abs();
            match step.phase {
                Phase::Approach if off.max(turned) < ARRIVED => return Ok(true),
                // Every episode begins at the measured pose, and its record before that: there a replay can begin.
                Phase::Hold if step.is_stopped() && rests && !rearmed => {
                    rearmed = true;
                    if !std::mem::replace(&mut begun, true) {
                        self.begin(seed, step.due)?;
                    }
                    self.request(Request::Rearm)?;
                    self.request(Request::Approach(start))?;
                }
                // In the simulator a stop hurts nobody: the session clears it, as a person does at an arm.
                Phase::Stopped(_) if self.stage.is_some() || self.plan.recover => {
                    rearmed = false;
                    self.plan.recover = false;
                    self.request(Request::Recover)?;
                }
                // That takes as long as it takes, slowly, while it gets nearer.
                Phase::Inward => {
                    began = LinuxMono::now();
                    let home = self.launch.home();
                    let left_rad = step
                        .command
                        .map_or(f64::INFINITY, |(q, ..)| (home.0 - q.0).amax());
                    if left_rad < nearest_rad - NEARER_RAD {
                        (nearest_rad, nearer_at) = (left_rad, began);
                    }
                    if began - nearer_at > NEARER_WITHIN {
                        self.abandon(0)?;
                        return Err(SessionError::StaysOutside(step.report.limits));
                    }
                }
                Phase::Stopped(_) => {
                    self.abandon(0)?;
                    return Err(self.stopped(&step));
                }
                _ => {}
            }
            if LinuxMono::now() - began > APPROACH_MAX {
                // An arm that does not answer cannot be seen to come to rest: it goes on stopping.
                if step.phase.latched().is_some() {
                    self.abandon(0)?;
                    return Err(self.stopped(&step));
                }
                let off_mm = 1e3 * (step.reference.position_m - start.position_m).norm();
                tracing::error!(
                    "the start pose was not reached in {} s: {off_mm:.0} mm are left; phase {:?}, {}, held back by {}. \
                     Move the arm by hand to the middle of its workspace and start again",
                    APPROACH_MAX.as_ticks() / 1_000_000_000,
                    step.phase,
                    step.fault
                        .map_or("no fault".to_owned(), |fault| self.launch.describe(&fault)),
                    held_by(step.report.limits),
                );
                break;
            }
        }
        // The policy has not been asked yet.
        self.abandon(0)?;
        Ok(false)
    }

    /// At a physical arm only a person clears a stop.
    fn stopped(&self, step: &Step<N>) -> SessionError {
        let why = step
            .fault
            .map_or("a person asked for it".to_owned(), |fault| {
                let remedy = match fault {
                    Fault::ArmLinkLost { .. } => ": look at its plug and at its drives' supply",
                    _ => "",
                };
                self.launch.describe(&fault) + remedy
            });
        SessionError::Stopped(
            why,
            step.fault.is_some_and(|fault| fault.is_outside_limits()),
        )
    }

    /// The reference has arrived; the arm itself has to be there too before anything recorded is repeated.
    fn check_start(&mut self, start: &TcpPose) -> Result<(), SessionError> {
        self.wait(SETTLE)?;
        let state = self.newest_step().and_then(|step| step.measured());
        let state = state.ok_or(SessionError::ThreadGone)?;
        let tool = self.launch.chain.fk(&state.q);
        let measured = pose::tcp_pose(&self.launch.T_base_task(), &tool);
        let off_m = (measured.position_m - start.position_m).norm();
        let turned_rad = (measured.yaw_rad - start.yaw_rad).abs();
        // A yaw that was measured is not unwrapped.
        let turned_rad = turned_rad.min((turned_rad - TAU).abs());
        if off_m <= START_M_MAX && turned_rad <= START_RAD_MAX {
            return Ok(());
        }
        self.abandon(0)?;
        Err(SessionError::NotAtStart { off_m, turned_rad })
    }

    /// Begins a record with the step that was due at `since`.
    fn begin(&mut self, seed: u64, since: Instant) -> Result<(), SessionError> {
        let granted = self.realtime.granted(&self.thread);
        let particulars = Particulars {
            seed,
            policy_seed: self.policy_seed,
            split: self.plan.repeat.map_or(SPLIT, |it| it.split),
            objects: None,
        };
        let directory = &self.plan.directory;
        let (path, header, attachments) = self.lineage.live(directory, &particulars, &granted);
        let begun = EpisodeWriter::create(&path, &header, &attachments)
            .and_then(|writer| self.recorder.begin(writer, since));
        self.record = self.unless_incomplete(begun)?.map(|()| path);
        Ok(())
    }

    /// Completes the record, where there is one.
    fn finish_record(&mut self, outcome: Outcome) -> Result<(), SessionError> {
        // Once: what ends later, before another record begins, has none.
        if self.record.take().is_some() {
            let finished = self.recorder.finish(outcome);
            self.unless_incomplete(finished)?;
        }
        Ok(())
    }

    /// What the disk does not take ends the session only where the launch file says so; otherwise it is told and counted.
    fn unless_incomplete<T>(
        &mut self,
        recorded: Result<T, EpisodeError>,
    ) -> Result<Option<T>, SessionError> {
        match recorded {
            Ok(done) => Ok(Some(done)),
            Err(
                error @ (EpisodeError::Incomplete { .. }
                | EpisodeError::File { .. }
                | EpisodeError::Io(_)
                | EpisodeError::Log(_)),
            ) if self.on_loss() == OnLoss::Continue => {
                tracing::error!(
                    "the episode of seed {} is not recorded as it should be: {error}",
                    self.seed
                );
                self.incomplete += 1;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn on_loss(&self) -> OnLoss {
        let episode = self.launch.episode.as_ref();
        episode.map_or(OnLoss::default(), |episode| episode.on_loss)
    }

    fn episode(&mut self, seed: u64, interrupted: &AtomicBool) -> Result<(), SessionError> {
        let path = self.record.clone();
        let path = path.map_or_else(
            || "not recorded".to_owned(),
            |path| path.display().to_string(),
        );
        let _span = tracing::info_span!("episode", seed, path).entered();
        let began = LinuxMono::now();
        self.request(Request::StartPolicy)?;
        self.seeds
            .send(self.policy_seed)
            .map_err(|_| SessionError::ThreadGone)?;
        let mut max_held_m: f64 = 0.0;
        self.playing = true;
        let played = self.watch(&mut max_held_m, interrupted)?;
        self.playing = false;
        let Some(played) = played else {
            return self.abandon(self.progress.step());
        };
        self.cancelled.store(false, Ordering::Relaxed);
        self.request(Request::Hold)?;
        self.wait(SETTLE)?;
        let interrupted = interrupted.load(Ordering::Relaxed);
        let wall_s = (LinuxMono::now() - began).as_nanos() as f64 * 1e-9;
        let result = self.close(seed, played, max_held_m, wall_s, interrupted)?;
        if interrupted {
            self.status.stop_episode(&result, &path);
        } else {
            self.status.finish_episode(&result, &path);
            self.finished.push(result);
        }
        Ok(())
    }

    /// Until the policy has played the episode; `None` when a person has ended it and the policy does not answer.
    fn watch(
        &mut self,
        max_held_m: &mut f64,
        interrupted: &AtomicBool,
    ) -> Result<Option<Played>, SessionError> {
        let mut asked_to_end = None;
        loop {
            match self
                .played
                .recv_timeout(std::time::Duration::from_millis(LOOK_MS))
            {
                Ok(played) => return Ok(Some(played)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(SessionError::ThreadGone),
            }
            let step = self.newest_step();
            let latched = step.is_some_and(|step| step.phase.latched().is_some());
            let interrupted = interrupted.load(Ordering::Relaxed);
            if latched || interrupted {
                self.cancelled.store(true, Ordering::Relaxed);
                self.request(Request::Hold)?;
            }
            let now = LinuxMono::now();
            if interrupted && now - *asked_to_end.get_or_insert(now) >= PATIENCE {
                return Ok(None);
            }
            let judged = self.stage.as_mut().and_then(|stage| stage.judge());
            *max_held_m = max_held_m.max(judged.map_or(0.0, |judged| judged.held_height_m));
            self.show(step);
            self.heed_losses()?;
        }
    }

    /// Stops the arm where the launch file wants no motion that is not recorded.
    fn heed_losses(&mut self) -> Result<(), SessionError> {
        if self.on_loss() != OnLoss::Stop {
            return Ok(());
        }
        let Condition { trouble, lost } = self.recorder.condition();
        if lost == Losses::default() {
            return Ok(());
        }
        self.cancelled.store(true, Ordering::Relaxed);
        self.request(Request::Stop(StopCategory::Two))?;
        self.wait(SETTLE)?;
        Err(SessionError::Lost { lost, trouble })
    }

    /// Completes the recording without the policy's word.
    fn abandon(&mut self, actions: u32) -> Result<(), SessionError> {
        self.finish_record(Outcome {
            ended_at: LinuxMono::now(),
            ending: Ending::Stopped,
            success: None,
            actions,
        })
    }

    /// Judges the end and completes the recording.
    fn close(
        &mut self,
        seed: u64,
        played: Played,
        max_held_m: f64,
        wall_s: f64,
        interrupted: bool,
    ) -> Result<EpisodeResult, SessionError> {
        let end = self.stage.as_mut().and_then(|stage| stage.judge());
        let fault = self.newest_step().and_then(|step| step.fault);
        let fault = fault.map(|fault| self.launch.describe(&fault));
        let ending = match &played {
            _ if fault.is_some() => Ending::Fault,
            _ if interrupted => Ending::Stopped,
            Played {
                terminated: true, ..
            } => Ending::Terminated,
            _ => Ending::StepLimit,
        };
        let result = played.result(seed, end, max_held_m, fault, wall_s, wall_s);
        self.finish_record(Outcome {
            ended_at: LinuxMono::now(),
            ending,
            success: result.judged().filter(|_| !interrupted),
            actions: result.steps,
        })?;
        Ok(result)
    }

    fn request(&mut self, request: Request) -> Result<(), SessionError> {
        self.requests
            .push(request)
            .map_err(|_| SessionError::ThreadGone)
    }

    pub(super) fn newest_step(&mut self) -> Option<Step<N>> {
        self.newest.read().as_ref().map(|stamped| stamped.value)
    }

    fn wait(&mut self, span: Duration) -> Result<(), SessionError> {
        LinuxMono::sleep_until(LinuxMono::now() + span);
        // Nobody reads the requests any more: whatever this waits for does not come.
        if self.requests.is_abandoned() {
            return Err(SessionError::ThreadGone);
        }
        let step = self.newest_step();
        self.show(step);
        Ok(())
    }

    fn show(&mut self, step: Option<Step<N>>) {
        let Some(step) = step else { return };
        let (camera, lost) = (*self.camera.read(), self.recorder.dropped());
        let signs = Signs {
            ticks: step.tick,
            polls: camera.frames + camera.refused() + camera.failed(),
            actions: self.playing.then(|| u64::from(self.progress.step())),
            lost: lost.steps + lost.frames + lost.events,
        };
        self.supervision.look(LinuxMono::now(), signs);
        let last = self.shown.replace(step).unwrap_or(step);
        let span_s = (step.due - last.due).as_nanos() as f64 * 1e-9;
        let successes = self
            .finished
            .iter()
            .filter(|episode| episode.success())
            .count();
        self.status.show(&Status {
            seed: self.seed,
            phase: step.phase,
            mode: step.mode,
            rate_hz: (step.tick - last.tick) as f64 / span_s,
            frame_age_ms: self.progress.frame_age_ms(),
            q_value: self.progress.q_value(),
            step: self.progress.step(),
            episodes: self.finished.len() as u32,
            successes: successes as u32,
            counters: step.counters,
            camera,
            lost,
            trouble: self.recorder.condition().trouble,
            fault: step.fault.map(|fault| self.launch.describe(&fault)),
        });
    }
}
