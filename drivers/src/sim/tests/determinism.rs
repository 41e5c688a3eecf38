//! One number makes one scene, and the same commands make the same motion and the same pictures.

use super::*;
use crate::sim::{Rig, Split, View};
use visuomotor_runtime::arm::{Arm, ArmState, Fingers};
use visuomotor_runtime::camera::Frame;
use visuomotor_runtime::units::JointVelocities;

const TICKS: u64 = 2000;

/// Everything that comes out of two simulated seconds, all noises on.
#[derive(PartialEq)]
struct Record {
    mjcf: String,
    qpos_bits: Vec<u64>,
    states: Vec<ArmState<7>>,
    pictures: Vec<Vec<u8>>,
}

fn record(split: Split, seed: u64) -> Record {
    let config = SceneConfig {
        encoder_noise_rad: 1e-4,
        ..SceneConfig::default()
    };
    let world = World::build(&config, split, seed).unwrap();
    let mjcf = world.scene().mjcf().to_owned();
    let mut rig = Rig::new(world);
    let mut camera = rendered(rig.camera(View::Policy).open());
    let (mut arm, _feeder) = rig.split().unwrap();
    let (down, mut frame) = (tool_at(Vector3::new(0.0, 0.0, 0.01), 0.5), Frame::default());
    let (mut states, mut pictures) = (Vec::new(), Vec::new());
    for tick in 1..=TICKS {
        // Down among the objects, where contacts amplify every difference, and shut.
        let share = (tick as f64 / 1000.0).min(1.0);
        let q: [f64; 7] = std::array::from_fn(|i| START_Q[i] + share * (down[i] - START_Q[i]));
        let fingers = if share < 1.0 {
            Fingers::Open
        } else {
            Fingers::Closed
        };
        let (q, dq) = (JointPositions::from(q), JointVelocities::zeros());
        arm.world_mut().command(&q, &dq, fingers);
        let state = arm.read(ms(tick)).unwrap();
        if tick % 250 == 0 {
            states.push(state);
            rendered(camera.render(&mut frame));
            pictures.push(frame.image.rgb.clone());
        }
    }
    let qpos = arm.world().snapshot().qpos();
    Record {
        mjcf,
        qpos_bits: qpos.iter().map(|number| number.to_bits()).collect(),
        states,
        pictures,
    }
}

#[test]
fn the_same_seed_and_commands_give_the_same_bits() {
    for seed in [3, 4] {
        let [one, two] = [(); 2].map(|()| record(Split::Train, seed));
        assert_eq!(one.mjcf, two.mjcf);
        assert_eq!(one.qpos_bits, two.qpos_bits);
        assert_eq!(one.states, two.states);
        assert!(one.pictures == two.pictures, "the pictures differ");
        let moved = one.pictures.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(moved, "the pictures show nothing");
    }
}

#[test]
fn another_split_or_seed_gives_another_scene() {
    let text = |split, seed| {
        let world = World::build(&SceneConfig::default(), split, seed).unwrap();
        world.scene().mjcf().to_owned()
    };
    let texts = [
        text(Split::Train, 7),
        text(Split::Validation, 7),
        text(Split::Test, 7),
        text(Split::Train, 8),
    ];
    for (i, one) in texts.iter().enumerate() {
        let line = |text: &str, i: usize| text.lines().nth(i).map(str::to_owned);
        for other in &texts[..i] {
            assert_ne!(one, other);
            // Not only one word: another camera, another lamp, other objects.
            let differing = (0..one.lines().count()).filter(|&i| line(one, i) != line(other, i));
            assert!(differing.count() >= 5);
        }
    }
}
