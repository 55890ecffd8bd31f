#pragma once

#include <stop_token>

namespace retort {

// While it lives, Ctrl-C (SIGINT) and SIGTERM ask for a stop instead of ending the process. The
// second one ends it at once with status 130. One at a time.
class SignalStop {
 public:
  SignalStop();
  ~SignalStop();
  SignalStop(const SignalStop&) = delete;
  SignalStop& operator=(const SignalStop&) = delete;

  std::stop_token token() const;

 private:
  struct State;
  State* state_;
};

}  // namespace retort
