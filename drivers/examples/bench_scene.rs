use std::time::Instant as Wall;
use visuomotor_drivers::sim::*;
use visuomotor_runtime::arm::{Arm, Fingers};
use visuomotor_runtime::camera::Frame;
use visuomotor_runtime::clock::{Duration, Instant};
use visuomotor_runtime::units::*;
fn png(path: &str, w: u32, h: u32, rgb: &[u8]) {
    let f = std::fs::File::create(path).unwrap();
    let mut e = mujoco_rs::renderer::png::Encoder::new(f, w, h);
    e.set_color(mujoco_rs::renderer::png::ColorType::Rgb);
    e.write_header().unwrap().write_image_data(rgb).unwrap();
}
fn med(v: &mut Vec<f64>) -> (f64, f64) {
    v.sort_by(f64::total_cmp);
    (v[v.len() / 2], v[v.len() * 9 / 10])
}
fn main() {
    let config = SceneConfig::default();
    let mut build = vec![];
    let mut worlds = vec![];
    for seed in 0..24 {
        let t = Wall::now();
        worlds.push(World::build(&config, Split::Train, seed).unwrap());
        build.push(t.elapsed().as_secs_f64() * 1e3);
    }
    println!("build ms {:?}", med(&mut build));
    let first = World::build(&config, Split::Train, 1000).unwrap();
    println!("tcp {:?}", first.snapshot().tcp_m);
    let mut rig = Rig::new(first);
    let cam = rig.camera(View::Policy);
    let spec = rig.camera(View::Spectator { size_px: 480 });
    let big = rig.camera(View::PolicyEnlarged { size_px: 480 });
    let (mut arm, _feeder) = rig.split();
    let t = Wall::now();
    let mut cam = cam.open().unwrap();
    println!("open ms {}", t.elapsed().as_secs_f64() * 1e3);
    let (mut spec, mut big) = (spec.open().unwrap(), big.open().unwrap());
    let mut frame = Frame::default();
    let (mut phys, mut rend, mut first_rend) = (vec![], vec![], vec![]);
    let mut sheet = vec![0u8; 24 * 160 * 160 * 3];
    let mut now = Instant::from_ticks(0);
    for (i, w) in worlds.into_iter().enumerate() {
        let n = w.scene().objects();
        arm.replace(Box::new(w), now);
        let t = Wall::now();
        cam.render(&mut frame).unwrap();
        first_rend.push(t.elapsed().as_secs_f64() * 1e3);
        let q0 = arm.world().arm_state().q;
        for k in 0..8 {
            let t = Wall::now();
            let mut q = q0;
            for j in 0..250 {
                now += Duration::from_ticks(1_000_000);
                q[1] += 0.0002 * (if k % 2 == 0 { 1.0 } else { -1.0 });
                arm.world_mut().command(&q, &JointVelocities::zeros(), if k > 4 { Fingers::Closed } else { Fingers::Open });
                arm.read(now).unwrap();
                let _ = j;
            }
            phys.push(t.elapsed().as_secs_f64() * 1e3);
            let t = Wall::now();
            cam.render(&mut frame).unwrap();
            rend.push(t.elapsed().as_secs_f64() * 1e3);
        }
        let (gx, gy) = (i % 6, i / 6);
        for y in 0..160 {
            for x in 0..160 {
                for c in 0..3 {
                    sheet[((gy * 160 + y) * 960 + gx * 160 + x) * 3 + c] = frame.image.rgb[((y / 2) * 80 + x / 2) * 3 + c];
                }
            }
        }
        if i < 2 {
            spec.render(&mut frame).unwrap();
            png(&format!("/tmp/spec{i}.png"), 480, 480, &frame.image.rgb);
            big.render(&mut frame).unwrap();
            png(&format!("/tmp/big{i}.png"), 480, 480, &frame.image.rgb);
        }
        println!("scene {i} objects {n} q err {:?}", (arm.world().arm_state().q.0 - q0.0).abs().max());
    }
    println!("physics ms/250ms {:?} render {:?} first {:?}", med(&mut phys), med(&mut rend), med(&mut first_rend));
    png("/tmp/sheet.png", 960, 640, &sheet);
}
