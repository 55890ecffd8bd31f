#include "retort/cli/signal_stop.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "retort/base/error.h"

namespace retort {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};

// What the handler may touch: a pipe's end and a counter, both lock-free.
std::atomic<int> signal_pipe = -1;
std::atomic<int> num_signals = 0;

extern "C" void OnSignal(int) {
  if (num_signals.fetch_add(1) > 0) ::_exit(130);
  const char byte = 1;
  const int descriptor = signal_pipe.load();
  if (descriptor >= 0 && ::write(descriptor, &byte, 1) < 0) ::_exit(130);
}

}  // namespace

struct SignalStop::State {
  std::stop_source source;
  int pipe_ends[2] = {-1, -1};
  std::thread watcher;
  std::array<struct sigaction, kSignals.size()> before = {};
};

SignalStop::SignalStop() : state_(new State) {
  if (::pipe2(state_->pipe_ends, O_CLOEXEC) != 0) {
    delete state_;
    Throw(ErrorCode::kIo, "cannot make a pipe for signals");
  }
  signal_pipe = state_->pipe_ends[1];
  num_signals = 0;
  // A stop callback may take locks, which a signal handler must not: a thread does it.
  state_->watcher = std::thread([state = state_] {
    char byte = 0;
    if (::read(state->pipe_ends[0], &byte, 1) == 1 && byte == 1) state->source.request_stop();
  });
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &state_->before[i]);
    if (state_->before[i].sa_handler != SIG_IGN) ::sigaction(kSignals[i], &action, nullptr);
  }
}

SignalStop::~SignalStop() {
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &state_->before[i], nullptr);
  }
  signal_pipe = -1;
  const char end = 0;
  if (::write(state_->pipe_ends[1], &end, 1) == 1) state_->watcher.join();
  ::close(state_->pipe_ends[0]);
  ::close(state_->pipe_ends[1]);
  delete state_;
}

std::stop_token SignalStop::token() const { return state_->source.get_token(); }
void SignalStop::RequestStop() { state_->source.request_stop(); }

}  // namespace retort
