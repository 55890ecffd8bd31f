#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "retort/backend/device.h"

namespace retort {

struct KvPoolOptions {
  int num_pages = 0;
  bool prefix_cache = true;  // false: nothing is ever found again
  int hash_bits = 128;       // of the chain hash that are used; fewer only to make tests collide
};

// Which pages of a KvCache hold what. Bookkeeping only: it never touches a device.
//
// A page is *free*, *held* by one or more sequences, or *kept*: held by none, but still findable
// by what it contains, until its place is needed. Pages of kPageTokens tokens are published once
// they are full; a published page is never written again, so sequences share it as it is, and a
// sequence's last, unfinished page is always its own.
//
// The prefix index is a chain: a page is found by the 128-bit hash of (domain, parent's hash, its
// tokens), and taken only if its tokens and its parent are the very ones asked for, so a collision
// costs a miss, never a wrong answer. Kept pages are evicted least recently used; a sequence's
// pages are released last page first, so a chain loses its tail before its head.
//
// Not thread-safe. Contradictory calls (releasing what is not held) are Error{kInternal}.
class KvPool {
 public:
  explicit KvPool(const KvPoolOptions& options);

  int num_pages() const { return static_cast<int>(pages_.size()); }
  // Pages that Allocate can still hand out: free and kept ones.
  int num_available() const { return static_cast<int>(free_.size()) + num_kept_; }
  int num_kept() const { return num_kept_; }
  int num_published() const { return static_cast<int>(index_.size()); }

  // Pages that hold `num_tokens` tokens.
  static int PagesFor(int64_t num_tokens) {
    return static_cast<int>((num_tokens + kPageTokens - 1) / kPageTokens);
  }

  // A page of unknown content, held once. Evicts the least recently used kept page if none is
  // free. Requires num_available() > 0.
  int32_t Allocate();

  // The longest published chain whose pages together are a prefix of `tokens`, each held once
  // more for the caller. Whole pages only. Domains (a salt, an adapter, a rotation) never share.
  std::vector<int32_t> Match(uint64_t domain, std::span<const int32_t> tokens);
  // How many pages Match would return, and how many of them are kept now.
  struct Prospect {
    int num_pages = 0;
    int num_kept = 0;
  };
  Prospect Peek(uint64_t domain, std::span<const int32_t> tokens) const;

  // Makes a full page findable as the one after `parent` (-1: the first of its chain), which must
  // be published itself. `page` is held by the caller. Returns the page to use from now on: if an
  // equal one is published already, that one, held, and `page` is released. If the page cannot be
  // published (the cache is off, its parent is not published, its hash is taken), it stays as it
  // was.
  int32_t Publish(int32_t page, int32_t parent, uint64_t domain, std::span<const int32_t> tokens);
  bool IsPublished(int32_t page) const { return At(page).published; }

  // Gives up one hold on each page, last first, and clears the list.
  void Release(std::vector<int32_t>& pages);

  // Forgets what is kept.
  void Clear();

  // Throws Error{kInternal} if the pool's own records contradict each other, or if `held` (how
  // often each page is held) is not what it thinks. O(pages).
  void Check(std::span<const int> held) const;

 private:
  struct Hash {
    uint64_t low = 0;
    uint64_t high = 0;
    bool operator==(const Hash&) const = default;
  };
  struct HashOfHash {
    size_t operator()(const Hash& hash) const { return static_cast<size_t>(hash.low); }
  };
  struct Page {
    int num_holds = 0;
    bool published = false;
    int32_t older = -1;  // neighbours in the list of kept pages
    int32_t newer = -1;
    int32_t parent = -1;
    uint64_t serial = 0;  // of this publication; a page published anew has another
    uint64_t parent_serial = 0;
    uint64_t domain = 0;
    Hash hash;
    std::array<int32_t, kPageTokens> tokens{};
  };

  const Page& At(int32_t page) const;
  Page& At(int32_t page);
  Hash ChainHash(uint64_t domain, int32_t parent, std::span<const int32_t> tokens) const;
  int32_t Find(const Hash& hash, uint64_t domain, int32_t parent,
               std::span<const int32_t> tokens) const;
  void Hold(int32_t page);
  void ReleaseOne(int32_t page);
  void Unpublish(int32_t page);
  void PushKept(int32_t page);
  void RemoveKept(int32_t page);

  KvPoolOptions options_;
  std::vector<Page> pages_;
  std::vector<int32_t> free_;  // last in, first out: its memory is warm
  std::unordered_map<Hash, int32_t, HashOfHash> index_;
  int32_t oldest_kept_ = -1;
  int32_t newest_kept_ = -1;
  int num_kept_ = 0;
  uint64_t next_serial_ = 1;
};

}  // namespace retort
