#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <utility>

namespace retort {

// For tests: a web server on a loopback port, one request per connection, one connection at a time.
// `respond` gets the whole request, head and body, and returns the whole response.
class LoopbackServer {
 public:
  explicit LoopbackServer(std::function<std::string(const std::string& request)> respond)
      : respond_(std::move(respond)) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t length = sizeof address;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length);
    ::listen(socket_, 8);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { Serve(); });
  }
  ~LoopbackServer() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  const std::string& url() const { return url_; }

 private:
  static bool IsWhole(const std::string& request) {
    constexpr char kLengthHeader[] = "Content-Length: ";
    const size_t head_end = request.find("\r\n\r\n");
    if (head_end == std::string::npos) return false;
    const size_t length = request.find(kLengthHeader);
    if (length == std::string::npos || length > head_end) return true;
    const uint64_t body_bytes =
        std::strtoull(&request[length + sizeof kLengthHeader - 1], nullptr, 10);
    return request.size() - (head_end + 4) >= body_bytes;
  }

  void Serve() {
    for (;;) {
      const int connection = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      std::string request;
      char buffer[4096];
      while (!IsWhole(request)) {
        const ssize_t count = ::recv(connection, buffer, sizeof buffer, 0);
        if (count <= 0) break;
        request.append(buffer, static_cast<size_t>(count));
      }
      const std::string response = respond_(request);
      size_t sent = 0;
      while (sent < response.size()) {
        const ssize_t count =
            ::send(connection, response.data() + sent, response.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) break;
        sent += static_cast<size_t>(count);
      }
      ::close(connection);
    }
  }

  const std::function<std::string(const std::string&)> respond_;
  int socket_ = -1;
  std::string url_;
  std::thread thread_;
};

}  // namespace retort
