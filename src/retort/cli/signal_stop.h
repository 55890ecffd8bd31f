#pragma once

#include <stop_token>

namespace retort {

// While it lives, Ctrl-C (SIGINT), SIGTERM and a terminal that goes away (SIGHUP) ask for a stop
// instead of ending the process. The second one ends it at once with status 130. A signal that the
// process was started to ignore (nohup) stays ignored. One at a time.
class SignalStop {
 public:
  SignalStop();
  ~SignalStop();
  SignalStop(const SignalStop&) = delete;
  SignalStop& operator=(const SignalStop&) = delete;

  std::stop_token token() const;
  // Asks for a stop as a signal does.
  void RequestStop();

 private:
  struct State;
  State* state_;
};

}  // namespace retort
