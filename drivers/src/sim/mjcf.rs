//! The text of a whole model: options, tray, table, lamp, cameras, arm, objects.
//!
//! Not responsible for chance: every number was drawn before.

use super::robot::RobotModel;
use nalgebra::{UnitQuaternion, Vector3};
use std::fmt::Write;

/// The table in the task frame: its top's centre along x and y, and its half size, m.
pub const TABLE_CENTRE_M: [f64; 2] = [-0.2, 0.0];
pub const TABLE_HALF_M: [f64; 2] = [0.9, 0.8];
pub const POLICY_CAMERA: &str = "policy";
pub const SPECTATOR_CAMERA: &str = "spectator";

pub struct Camera {
    pub position_m: Vector3<f64>,
    pub target_m: Vector3<f64>,
    pub fovy_deg: f64,
}

pub struct PlacedObject<'a> {
    pub assets: &'a str,
    pub mjcf: &'a str,
    pub position_m: Vector3<f64>,
    pub rotation: UnitQuaternion<f64>,
}

pub struct Drawn<'a> {
    pub robot: &'a RobotModel,
    pub timestep_s: f64,
    pub tray_in_base_m: [f64; 3],
    /// Inner half size of the tray.
    pub tray_half_m: f64,
    pub wall_height_m: f64,
    pub floor_rgb: [f64; 3],
    pub wall_rgb: [f64; 3],
    pub table_rgb: [f64; 3],
    pub lamp: f64,
    pub lamp_m: Vector3<f64>,
    pub camera: Camera,
    pub objects: Vec<PlacedObject<'a>>,
}

impl Drawn<'_> {
    pub fn text(&self) -> String {
        let mut mjcf = String::with_capacity(16 * 1024);
        // Writing to a String cannot fail.
        let _ = self.write(&mut mjcf);
        mjcf
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let [base_x, base_y, base_z] = self.tray_in_base_m.map(|metres| -metres);
        writeln!(
            out,
            r#"<mujoco model="{}_tray"><compiler angle="radian" autolimits="true"/>
<option timestep="{}" integrator="implicitfast" cone="elliptic" impratio="3" iterations="20" ls_iterations="10"><flag sleep="enable"/></option>
<visual><headlight ambient="0.42 0.42 0.42" diffuse="0.35 0.35 0.35" specular="0 0 0"/><quality shadowsize="0" offsamples="0"/><map znear="0.02" zfar="20"/></visual>
<statistic extent="1" center="0 0 0"/>
<default><geom condim="6" friction="0.6 0.01 0.001" solref="0.02 1"/>
<default class="object"/>{}</default>
<asset>{}</asset>
<worldbody>
<light pos="{}" dir="{}" diffuse="{lamp} {lamp} {lamp}" specular="0.1 0.1 0.1" castshadow="false"/>"#,
            self.robot.name,
            self.timestep_s,
            self.robot.defaults,
            self.objects
                .iter()
                .map(|object| object.assets)
                .collect::<String>(),
            Triple(self.lamp_m),
            Triple(-self.lamp_m),
            lamp = self.lamp,
        )?;
        self.camera.write(POLICY_CAMERA, out)?;
        let spectator = Camera {
            position_m: self.robot.spectator_m[0].into(),
            target_m: self.robot.spectator_m[1].into(),
            fovy_deg: 42.0,
        };
        spectator.write(SPECTATOR_CAMERA, out)?;
        self.write_tray(base_z - self.robot.stand_m, out)?;
        out.push_str(&(self.robot.bodies)([base_x, base_y, base_z]));
        for (i, object) in self.objects.iter().enumerate() {
            let q = object.rotation.quaternion();
            writeln!(
                out,
                r#"<body name="object_{i}" pos="{}" quat="{} {} {} {}"><freejoint/>
{}</body>"#,
                Triple(object.position_m),
                q.w,
                q.i,
                q.j,
                q.k,
                object.mjcf
            )?;
        }
        writeln!(
            out,
            r#"</worldbody>
{}
<actuator>
{}</actuator></mujoco>"#,
            self.robot.couplings,
            (self.robot.actuators)()
        )
    }

    /// The tray stands on the table, whose top is here.
    fn write_tray(&self, table_z: f64, out: &mut String) -> std::fmt::Result {
        let [floor, wall, table] = [self.floor_rgb, self.wall_rgb, self.table_rgb]
            .map(Vector3::from)
            .map(Triple);
        let outer = self.tray_half_m + 0.01;
        let ([x, y], [half_x, half_y]) = (TABLE_CENTRE_M, TABLE_HALF_M);
        // The floor reaches below the table's top so that nothing that is pressed on it tunnels through.
        writeln!(
            out,
            r#"<geom name="table" type="box" size="{half_x} {half_y} 0.05" pos="{x} {y} {}" rgba="{table} 1"/>
<geom name="floor" type="box" size="{outer} {outer} 0.05" pos="0 0 -0.05" rgba="{floor} 1"/>"#,
            table_z - 0.05
        )?;
        let (middle, half_height) = (self.tray_half_m + 0.005, 0.5 * self.wall_height_m);
        for side in [-middle, middle] {
            writeln!(
                out,
                r#"<geom type="box" size="0.005 {outer} {half_height}" pos="{side} 0 {half_height}" rgba="{wall} 1"/>
<geom type="box" size="{outer} 0.005 {half_height}" pos="0 {side} {half_height}" rgba="{wall} 1"/>"#
            )?;
        }
        Ok(())
    }
}

impl Camera {
    fn write(&self, name: &str, out: &mut String) -> std::fmt::Result {
        let forward = (self.target_m - self.position_m).normalize();
        let right = forward.cross(&Vector3::z()).normalize();
        writeln!(
            out,
            r#"<camera name="{name}" pos="{}" xyaxes="{} {}" fovy="{}"/>"#,
            Triple(self.position_m),
            Triple(right),
            Triple(right.cross(&forward)),
            self.fovy_deg
        )
    }
}

/// Three numbers as MJCF writes them.
struct Triple(Vector3<f64>);

impl std::fmt::Display for Triple {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.0.x, self.0.y, self.0.z)
    }
}
