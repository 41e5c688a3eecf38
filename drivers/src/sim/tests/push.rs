//! Somebody pushes an object.

use super::*;
use crate::sim::Split;

const PUSH_M: f64 = 0.05;

fn places(world: &World) -> Vec<Vector3<f64>> {
    let qpos = world.snapshot().qpos();
    let objects = world.scene().objects.iter();
    objects
        .map(|object| Vector3::from_column_slice(&qpos[object.qpos..object.qpos + 3]))
        .collect()
}

#[test]
fn a_push_moves_the_nearest_object_alone_by_its_distance_and_wakes_it() {
    let mut config = one_cube(0.035);
    config.objects.count = [4, 4];
    let (mut worst_m, mut bystanders_m): (f64, f64) = (0.0, 0.0);
    for seed in 0..12 {
        let mut world = World::build(&config, Split::Validation, seed).unwrap();
        pass(&mut world, 1000);
        let before = places(&world);
        let tcp_m = world.snapshot().tcp_m;
        let nearest = (0..before.len())
            .min_by(|&a, &b| {
                let far = |i: usize| (before[i] - tcp_m).xy().norm();
                far(a).total_cmp(&far(b))
            })
            .unwrap();
        assert!(
            !world.is_awake(nearest),
            "seed {seed}: it never came to rest"
        );

        world.push_nearest(PUSH_M, seed);
        pass(&mut world, 5);
        assert!(world.is_awake(nearest), "seed {seed}: it sleeps on");
        pass(&mut world, 2000);

        let mut truth = Default::default();
        world.truth(&mut truth);
        for (i, place) in places(&world).into_iter().enumerate() {
            let moved_m = (place - before[i]).xy().norm();
            if i == nearest {
                worst_m = worst_m.max((moved_m - PUSH_M).abs());
                assert!((moved_m - PUSH_M).abs() < 0.01, "seed {seed}: {moved_m} m");
            } else {
                bystanders_m = bystanders_m.max(moved_m);
                assert!(moved_m < 0.005, "seed {seed}: object {i} moved {moved_m} m");
            }
            assert!(!world.is_awake(i), "seed {seed}: object {i} does not rest");
            assert!(place.xy().amax() < 0.14 && truth.objects[i].bottom_m.abs() < 0.002);
        }
        assert_eq!(
            world.snapshot().tcp_m.map(|x| (x * 1e3).round()),
            tcp_m.map(|x| (x * 1e3).round())
        );
    }
    println!("off by at most {worst_m:.4} m; the others moved at most {bystanders_m:.4} m");
}
