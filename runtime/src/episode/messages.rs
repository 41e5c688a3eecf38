//! Every message that an episode holds, each defined once: the struct, its CDR form and its `ros2msg` text come from
//! the same lines, so they cannot drift.
//!
//! The standard messages are those of ROS 2 (common_interfaces, Jazzy); `visuomotor_msgs` is our own package. Not
//! responsible for what the runtime's own types mean: [`super::convert`] maps them.

use super::cdr::{CdrError, Decoder, Definition, Encoder, Field};

/// A message that can have a channel of its own.
pub trait Message: Field {
    /// Full name of its type, such as `std_msgs/msg/Header`.
    fn schema_name() -> String;
}

/// The `ros2msg` schema: the definition of `M`, then of every message in it.
pub fn schema_text<M: Message>() -> String {
    let mut definitions = Vec::new();
    M::definitions(&mut definitions);
    let mut text = String::new();
    for (index, definition) in definitions.iter().enumerate() {
        if index > 0 {
            text += &format!("{}\nMSG: {}\n", "=".repeat(80), definition.name);
        }
        text += &definition.text;
    }
    text
}

macro_rules! messages {
    ($(
        $(#[doc = $doc:literal])*
        $package:ident / $name:ident {
            $( $(#[doc = $field_doc:literal])* $field:ident: $type:ty, )*
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $( $(#[doc = $field_doc])* pub $field: $type, )*
        }

        impl Field for $name {
            fn ros_type() -> String {
                concat!(stringify!($package), "/", stringify!($name)).into()
            }

            fn encode(&self, out: &mut Encoder<'_>) {
                $( self.$field.encode(out); )*
            }

            fn decode(input: &mut Decoder<'_>) -> Result<Self, CdrError> {
                Ok(Self { $( $field: Field::decode(input)?, )* })
            }

            fn definitions(into: &mut Vec<Definition>) {
                let name = Self::ros_type();
                if into.iter().any(|definition| definition.name == name) {
                    return;
                }
                let mut text = String::new();
                $( text += concat!("#", $doc, "\n"); )*
                $(
                    $( text += concat!("#", $field_doc, "\n"); )*
                    text += &format!("{} {}\n", <$type>::ros_type(), stringify!($field));
                )*
                into.push(Definition { name, text });
                $( <$type>::definitions(into); )*
            }
        }

        impl Message for $name {
            fn schema_name() -> String {
                concat!(stringify!($package), "/msg/", stringify!($name)).into()
            }
        }
    )*};
}

messages! {
    /// Time of the episode's clock; the metadata record `visuomotor.clock` says which clock that is.
    builtin_interfaces/Time {
        sec: i32,
        nanosec: u32,
    }

    std_msgs/Header {
        /// When the data was true: sampled, captured, due.
        stamp: Time,
        frame_id: String,
    }

    /// In rad (m for a prismatic joint), rad/s and N m, joints from base to tip.
    sensor_msgs/JointState {
        header: Header,
        name: Vec<String>,
        position: Vec<f64>,
        velocity: Vec<f64>,
        effort: Vec<f64>,
    }

    sensor_msgs/CompressedImage {
        header: Header,
        format: String,
        data: Vec<u8>,
    }

    /// Of the camera that /camera/image/compressed comes from; the mount is in the metadata record `visuomotor.camera`.
    sensor_msgs/CameraInfo {
        header: Header,
        height: u32,
        width: u32,
        distortion_model: String,
        d: Vec<f64>,
        k: [f64; 9],
        r: [f64; 9],
        p: [f64; 12],
        binning_x: u32,
        binning_y: u32,
        roi: RegionOfInterest,
    }

    sensor_msgs/RegionOfInterest {
        x_offset: u32,
        y_offset: u32,
        height: u32,
        width: u32,
        do_rectify: bool,
    }

    /// What happened, for people to read along.
    rcl_interfaces/Log {
        stamp: Time,
        /// 10 debug, 20 info, 30 warning, 40 error.
        level: u8,
        name: String,
        msg: String,
        file: String,
        function: String,
        line: u32,
    }

    geometry_msgs/Vector3 {
        x: f64,
        y: f64,
        z: f64,
    }

    geometry_msgs/Twist {
        linear: Vector3,
        angular: Vector3,
    }

    geometry_msgs/TwistStamped {
        header: Header,
        twist: Twist,
    }

    geometry_msgs/Point {
        x: f64,
        y: f64,
        z: f64,
    }

    geometry_msgs/Quaternion {
        x: f64,
        y: f64,
        z: f64,
        w: f64,
    }

    geometry_msgs/Pose {
        position: Point,
        orientation: Quaternion,
    }

    geometry_msgs/PoseStamped {
        header: Header,
        pose: Pose,
    }

    /// Pose of a tool that points straight down, task frame.
    visuomotor_msgs/TcpPose {
        /// Point between the fingertips, m.
        x: f64,
        y: f64,
        z: f64,
        /// Angle from the task frame's y axis to the direction in which the fingers close, rad, not wrapped.
        yaw: f64,
    }

    visuomotor_msgs/Fault {
        /// 0 is no fault.
        code: u16,
        /// The joint, or the drive's own code.
        number: u32,
        /// What the fault's text says, in its order; 0 where it says less.
        values: [f64; 3],
    }

    /// What the safety filter did to one tick's request.
    visuomotor_msgs/Verdict {
        /// 0 nothing, 1 limited, 2 shrunk toward the stop plan, 3 stopping, 4 stopped.
        intervention: u8,
        /// Bits: 1 position, 2 velocity, 4 acceleration, 8 jerk, 16 workspace, 32 table, 64 TCP speed, 128 not finite.
        limits: u16,
        /// Bit i is set when joint i was limited.
        joints: u16,
        fault: Fault,
    }

    /// Counted since start.
    visuomotor_msgs/Counters {
        missed_ticks: u64,
        failed_reads: u64,
        reused_samples: u64,
        late_decisions: u64,
        clamped_actions: u64,
        dropped_steps: u64,
        dropped_frames: u64,
        refused_requests: u64,
    }

    /// One tick of the control loop. What it measured is on /joint_states and what it sent on /joint_commands, with the
    /// same sequence number.
    visuomotor_msgs/Step {
        /// When the tick was due.
        stamp: Time,
        tick: u64,
        /// Wake-up minus deadline.
        jitter_ns: u64,
        /// 0 idle, 1 hold, 2 approach, 3 policy, 4 stopped, 5 stopping, 6 ending.
        phase: u8,
        /// Whether the arm was read, and so whether this tick has a message on /joint_states.
        measured: bool,
        /// Distance between the finger pads, m; 0 when the arm was not read.
        aperture: f64,
        /// Whether a command was sent, and so whether this tick has a message on /joint_commands.
        commanded: bool,
        /// Commanded: 0 open, 1 closed.
        fingers: u8,
        /// Stop category that the drives were asked for instead of a command: 0, 1, 2; 255 for none.
        stop: u8,
        /// Interpolated TCP target of this tick.
        reference: TcpPose,
        /// TCP goal of the actions so far.
        goal: TcpPose,
        verdict: Verdict,
        /// The first fault behind a latched stop; a latched stop without one is a person's.
        fault: Fault,
        counters: Counters,
        /// Category of the latched stop: 0, 1, 2; 255 for none.
        latched: u8,
        /// Operating mode: 0 automatic, 1 manual with reduced speed.
        mode: u8,
        inputs: Inputs,
    }

    /// With the arm's state and the tick's time, everything that the tick depended on.
    visuomotor_msgs/Inputs {
        /// Deadlines since the last tick that were skipped.
        missed: u64,
        /// Why the arm was not read: 0 no answer, 1 malformed answer, 2 drive fault; 255 when it was.
        read_error: u8,
        /// The drive's code.
        read_code: u32,
        /// Why the last tick's command was not sent, in the same numbers.
        write_error: u8,
        write_code: u32,
        /// Whether a decision of the policy came; its stamp is the tick's.
        decided: bool,
        decision: Action,
        /// 0 hold, 1 approach, 2 start policy, 3 re-arm, 4 set mode, 5 stop, 6 clear fault, 7 recover, 8 end,
        /// 9 jog; 255 for none.
        request: u8,
        /// The mode or the stop category that was asked for.
        request_number: u8,
        /// The pose or velocity that was asked for: x, y, z, yaw.
        request_values: [f64; 4],
    }

    /// How one tick of the control loop fared with the operating system, from the end of the tick before to its own; the
    /// sequence number is that of /step. Ticks in simulated time have none.
    visuomotor_msgs/Health {
        /// When the tick was due.
        stamp: Time,
        tick: u64,
        /// Time in which the thread was ready and waited for a CPU; -1 where the kernel does not count it.
        run_delay_ns: i64,
        /// From the wake-up until the step was ready for the recorder.
        compute_ns: u64,
        voluntary_switches: u32,
        involuntary_switches: u32,
        minor_faults: u32,
        major_faults: u32,
    }

    /// What the policy was shown.
    visuomotor_msgs/Observation {
        /// When the encoders behind measured and aperture were sampled.
        stamp: Time,
        /// Counts the observations of the episode, from 0.
        step: u32,
        /// When the frame's light was measured.
        frame_stamp: Time,
        frame_sequence: u64,
        measured: TcpPose,
        /// TCP goal of the actions so far.
        goal: TcpPose,
        /// By the last verb: 0 open, 1 closed.
        fingers: u8,
        /// Distance between the finger pads, m.
        aperture: f64,
    }

    /// What the policy asked for.
    visuomotor_msgs/Action {
        /// When the policy had decided.
        stamp: Time,
        /// The observation that it answers.
        step: u32,
        /// When the light of the frame that it looked at was measured.
        frame_stamp: Time,
        /// Displacement of the TCP goal in m, task frame.
        displacement: Point,
        /// Rotation of the TCP goal about the vertical, rad.
        yaw: f64,
        /// 0 move, 1 close, 2 open, 3 terminate.
        verb: u8,
        /// The policy's estimate that the episode ends in success, in [0, 1]; NaN where it has none.
        q_value: f64,
    }

    /// What a person says about a span of the episode.
    visuomotor_msgs/Annotation {
        /// When it was said.
        stamp: Time,
        from: Time,
        to: Time,
        /// One word that programs understand, such as success, failure, intervention.
        label: String,
        note: String,
        author: String,
    }

    /// How the episode ended, and what its log lost.
    visuomotor_msgs/Outcome {
        stamp: Time,
        /// 0 the policy terminated, 1 step limit, 2 fault, 3 stopped by a person.
        ending: u8,
        /// 0 failure, 1 success, 2 not judged.
        success: u8,
        actions: u32,
        lost_steps: u64,
        lost_frames: u64,
        lost_events: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_is_what_ros_tools_parse() {
        let separator = "=".repeat(80);
        let expected = format!(
            "std_msgs/Header header\ngeometry_msgs/Pose pose\n\
             {separator}\nMSG: std_msgs/Header\n# When the data was true: sampled, captured, due.\n\
             builtin_interfaces/Time stamp\nstring frame_id\n\
             {separator}\nMSG: builtin_interfaces/Time\n\
             # Time of the episode's clock; the metadata record `visuomotor.clock` says which clock that is.\n\
             int32 sec\nuint32 nanosec\n\
             {separator}\nMSG: geometry_msgs/Pose\ngeometry_msgs/Point position\ngeometry_msgs/Quaternion orientation\n\
             {separator}\nMSG: geometry_msgs/Point\nfloat64 x\nfloat64 y\nfloat64 z\n\
             {separator}\nMSG: geometry_msgs/Quaternion\nfloat64 x\nfloat64 y\nfloat64 z\nfloat64 w\n"
        );
        assert_eq!(schema_text::<PoseStamped>(), expected);
        assert_eq!(PoseStamped::schema_name(), "geometry_msgs/msg/PoseStamped");
    }

    #[test]
    fn sequences_arrays_and_repeated_messages_are_named_once() {
        let joints = schema_text::<JointState>();
        assert!(
            joints.contains("string[] name\nfloat64[] position\n"),
            "{joints}"
        );
        let step = schema_text::<Step>();
        assert!(step.contains("float64[3] values\n"), "{step}");
        for name in ["TcpPose", "Fault", "Verdict", "Counters"] {
            assert_eq!(
                step.matches(&format!("MSG: visuomotor_msgs/{name}\n"))
                    .count(),
                1,
                "{name}"
            );
        }
    }
}
