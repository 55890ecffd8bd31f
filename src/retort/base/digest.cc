#include "retort/base/digest.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>

#include "retort/base/error.h"

namespace retort {
namespace {

std::string FinalHex(EVP_MD_CTX* context) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  EVP_DigestFinal_ex(context, digest.data(), &size);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * size);
  for (unsigned int i = 0; i < size; ++i) {
    hex.push_back(kHex[digest[i] >> 4]);
    hex.push_back(kHex[digest[i] & 15]);
  }
  return hex;
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  // Looked up once: with EVP_sha256() each digest would look it up again, which takes longer than
  // digesting a key.
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (state_->context == nullptr || algorithm == nullptr ||
      EVP_DigestInit_ex(state_->context, algorithm, nullptr) != 1) {
    Throw(ErrorCode::kInternal, "SHA-256 is not available in this OpenSSL");
  }
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::Add(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
  return *this;
}

Sha256& Sha256::Field(std::string_view text) {
  Field(static_cast<uint64_t>(text.size()));
  return Add(std::as_bytes(std::span(text)));
}

Sha256& Sha256::Field(uint64_t value) {
  std::array<std::byte, 8> bytes;  // little-endian, so keys do not depend on the machine
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
  return Add(bytes);
}

std::string Sha256::Hex() { return FinalHex(state_->context); }

std::string Sha256Hex(std::string_view text) {
  return Sha256().Add(std::as_bytes(std::span(text))).Hex();
}

std::string GitBlobId(std::span<const std::byte> bytes) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  const std::string head = "blob " + std::to_string(bytes.size());
  if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_sha1(), nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), head.c_str(), head.size() + 1) != 1) {
    Throw(ErrorCode::kInternal, "SHA-1 is not available in this OpenSSL");
  }
  EVP_DigestUpdate(context.get(), bytes.data(), bytes.size());
  return FinalHex(context.get());
}

}  // namespace retort
