// Pinocchio's time for a pose and its Jacobian: CPU time of the thread, the median of
// batches of random joint positions.
//
// usage: kinematics CHAIN
//
// CHAIN has a line for each joint, base to tip, and one for the tip: position (3 numbers, m) and rotation matrix (9, row
// by row) of its frame in the one before. Each joint turns about its own z. The program needs no URDF parser so, whose
// headers the wheel lacks.
#include <pinocchio/algorithm/frames.hpp>
#include <pinocchio/algorithm/jacobian.hpp>
#include <pinocchio/algorithm/kinematics.hpp>
#include <pinocchio/multibody.hpp>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

namespace {

constexpr int kPoses = 1000;
constexpr int kBatches = 200;

double thread_cpu_s() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::vector<pinocchio::SE3> read(const char* path) {
  std::ifstream file(path);
  std::vector<pinocchio::SE3> frames;
  double x[12];
  for (;;) {
    for (double& value : x) file >> value;
    if (!file) return frames;
    Eigen::Matrix3d r;
    r << x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10], x[11];
    frames.emplace_back(r, Eigen::Vector3d(x[0], x[1], x[2]));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<pinocchio::SE3> frames = argc == 2 ? read(argv[1]) : std::vector<pinocchio::SE3>();
  if (frames.size() < 2) {
    std::fprintf(stderr, "usage: kinematics CHAIN\n");
    return 2;
  }
  pinocchio::Model model;
  pinocchio::JointIndex parent = 0;
  for (std::size_t i = 0; i + 1 < frames.size(); ++i)
    parent = model.addJoint(parent, pinocchio::JointModelRZ(), frames[i], "joint_" + std::to_string(i));
  const pinocchio::FrameIndex tip =
      model.addFrame(pinocchio::Frame("tip", parent, frames.back(), pinocchio::OP_FRAME));
  pinocchio::Data data(model);
  std::vector<Eigen::VectorXd> drawn;
  for (int k = 0; k < kPoses; ++k) drawn.push_back(2.0 * Eigen::VectorXd::Random(model.nq));
  pinocchio::Data::Matrix6x j = pinocchio::Data::Matrix6x::Zero(6, model.nv);
  // Keeps the compiler from dropping the work, and can be compared.
  double sum[2] = {0.0, 0.0};
  double median_ns[2];
  for (int way = 0; way < 2; ++way) {
    std::vector<double> batches_ns;
    for (int batch = 0; batch < kBatches; ++batch) {
      const double start_s = thread_cpu_s();
      for (const Eigen::VectorXd& q : drawn) {
        if (way == 0) {
          pinocchio::computeJointJacobians(model, data, q);
          pinocchio::updateFramePlacement(model, data, tip);
          pinocchio::getFrameJacobian(model, data, tip, pinocchio::LOCAL_WORLD_ALIGNED, j);
        } else {
          pinocchio::computeFrameJacobian(model, data, q, tip, pinocchio::LOCAL_WORLD_ALIGNED, j);
          pinocchio::updateFramePlacement(model, data, tip);
        }
        sum[way] += j(0, 0) + data.oMf[tip].translation()[2];
      }
      batches_ns.push_back(1e9 * (thread_cpu_s() - start_s) / kPoses);
    }
    std::nth_element(batches_ns.begin(), batches_ns.begin() + kBatches / 2, batches_ns.end());
    median_ns[way] = batches_ns[kBatches / 2];
  }
  if (!(std::abs(sum[0] - sum[1]) < 1e-6)) return 1;
  std::printf("{\"joints\": %d, \"all_joints_ns\": %.2f, \"frame_only_ns\": %.2f}\n", model.nv, median_ns[0], median_ns[1]);
  return 0;
}
