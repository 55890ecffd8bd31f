#include "retort/engine/kv_pool.h"

#include <algorithm>

#include "retort/base/error.h"
#include "retort/base/random.h"

namespace retort {

KvPool::KvPool(const KvPoolOptions& options) : options_(options) {
  if (options.num_pages <= 0) {
    Throw(ErrorCode::kInvalid, "a KV pool needs at least one page, got {}", options.num_pages);
  }
  pages_.resize(static_cast<size_t>(options.num_pages));
  free_.reserve(pages_.size());
  for (int32_t page = options.num_pages - 1; page >= 0; --page) free_.push_back(page);
  index_.reserve(pages_.size());
}

const KvPool::Page& KvPool::At(int32_t page) const {
  if (page < 0 || page >= num_pages()) {
    Throw(ErrorCode::kInternal, "KV page {} does not exist, the pool has {}", page, num_pages());
  }
  return pages_[static_cast<size_t>(page)];
}

KvPool::Page& KvPool::At(int32_t page) {
  return const_cast<Page&>(static_cast<const KvPool*>(this)->At(page));
}

KvPool::Hash KvPool::ChainHash(uint64_t domain, int32_t parent,
                               std::span<const int32_t> tokens) const {
  Hash hash{MixBits(domain + 0x9e3779b97f4a7c15ULL), MixBits(domain ^ 0xd1b54a32d192ed03ULL)};
  if (parent >= 0) {
    const Hash& above = At(parent).hash;
    hash.low = MixBits(hash.low ^ above.low);
    hash.high = MixBits(hash.high + above.high);
  }
  for (const int32_t token : tokens) {
    const uint64_t value = static_cast<uint32_t>(token);
    hash.low = MixBits(hash.low ^ (value + 0x9e3779b97f4a7c15ULL));
    hash.high = (hash.high ^ value) * 0x100000001b3ULL + 0x632be59bd9b4e019ULL;
  }
  hash.high = MixBits(hash.high);
  if (options_.hash_bits < 64) {
    hash.low &= (uint64_t{1} << options_.hash_bits) - 1;
    hash.high = 0;
  }
  return hash;
}

int32_t KvPool::Find(const Hash& hash, uint64_t domain, int32_t parent,
                     std::span<const int32_t> tokens) const {
  const auto found = index_.find(hash);
  if (found == index_.end()) return -1;
  const Page& page = At(found->second);
  const uint64_t parent_serial = parent < 0 ? 0 : At(parent).serial;
  // By induction over the chain, equal parents mean equal tokens before this page.
  if (page.domain != domain || page.parent_serial != parent_serial ||
      !std::equal(tokens.begin(), tokens.end(), page.tokens.begin(), page.tokens.end())) {
    return -1;
  }
  return found->second;
}

int32_t KvPool::Allocate() {
  if (free_.empty()) {
    if (oldest_kept_ < 0) {
      Throw(ErrorCode::kInternal, "all {} KV pages are held", num_pages());
    }
    const int32_t victim = oldest_kept_;
    RemoveKept(victim);
    Unpublish(victim);
    free_.push_back(victim);
  }
  const int32_t page = free_.back();
  free_.pop_back();
  At(page).num_holds = 1;
  return page;
}

KvPool::Prospect KvPool::Peek(uint64_t domain, std::span<const int32_t> tokens) const {
  Prospect prospect;
  if (!options_.prefix_cache) return prospect;
  int32_t parent = -1;
  for (size_t at = 0; at + kPageTokens <= tokens.size(); at += kPageTokens) {
    const auto piece = tokens.subspan(at, kPageTokens);
    const int32_t page = Find(ChainHash(domain, parent, piece), domain, parent, piece);
    if (page < 0) break;
    ++prospect.num_pages;
    if (At(page).num_holds == 0) ++prospect.num_kept;
    parent = page;
  }
  return prospect;
}

std::vector<int32_t> KvPool::Match(uint64_t domain, std::span<const int32_t> tokens) {
  std::vector<int32_t> chain;
  if (!options_.prefix_cache) return chain;
  for (size_t at = 0; at + kPageTokens <= tokens.size(); at += kPageTokens) {
    const auto piece = tokens.subspan(at, kPageTokens);
    const int32_t parent = chain.empty() ? -1 : chain.back();
    const int32_t page = Find(ChainHash(domain, parent, piece), domain, parent, piece);
    if (page < 0) break;
    Hold(page);
    chain.push_back(page);
  }
  return chain;
}

int32_t KvPool::Publish(int32_t page, int32_t parent, uint64_t domain,
                        std::span<const int32_t> tokens) {
  Page& record = At(page);
  if (record.num_holds == 0 || tokens.size() != kPageTokens) {
    Throw(ErrorCode::kInternal, "KV page {} published with {} holds and {} tokens", page,
          record.num_holds, tokens.size());
  }
  if (!options_.prefix_cache || record.published) return page;
  if (parent >= 0 && !At(parent).published) return page;
  const Hash hash = ChainHash(domain, parent, tokens);
  const int32_t equal = Find(hash, domain, parent, tokens);
  if (equal >= 0) {  // someone computed the same tokens meanwhile: share theirs, bit for bit equal
    Hold(equal);
    ReleaseOne(page);
    return equal;
  }
  if (!index_.try_emplace(hash, page).second) return page;  // a collision
  record.published = true;
  record.parent = parent;
  record.serial = next_serial_++;
  record.parent_serial = parent < 0 ? 0 : At(parent).serial;
  record.domain = domain;
  record.hash = hash;
  std::copy(tokens.begin(), tokens.end(), record.tokens.begin());
  return page;
}

void KvPool::Release(std::vector<int32_t>& pages) {
  for (auto page = pages.rbegin(); page != pages.rend(); ++page) ReleaseOne(*page);
  pages.clear();
}

void KvPool::Hold(int32_t page) {
  if (At(page).num_holds++ == 0) RemoveKept(page);
}

void KvPool::ReleaseOne(int32_t page) {
  Page& record = At(page);
  if (record.num_holds == 0) {
    Throw(ErrorCode::kInternal, "KV page {} is released but not held", page);
  }
  if (--record.num_holds > 0) return;
  if (record.published) {
    PushKept(page);
  } else {
    free_.push_back(page);
  }
}

void KvPool::Unpublish(int32_t page) {
  Page& record = At(page);
  index_.erase(record.hash);
  record.published = false;
  record.serial = 0;
  record.parent = -1;
}

void KvPool::PushKept(int32_t page) {
  Page& record = At(page);
  record.older = newest_kept_;
  record.newer = -1;
  if (newest_kept_ >= 0) {
    At(newest_kept_).newer = page;
  } else {
    oldest_kept_ = page;
  }
  newest_kept_ = page;
  ++num_kept_;
}

void KvPool::RemoveKept(int32_t page) {
  Page& record = At(page);
  (record.older >= 0 ? At(record.older).newer : oldest_kept_) = record.newer;
  (record.newer >= 0 ? At(record.newer).older : newest_kept_) = record.older;
  record.older = record.newer = -1;
  --num_kept_;
}

void KvPool::Clear() {
  while (oldest_kept_ >= 0) {
    const int32_t page = oldest_kept_;
    RemoveKept(page);
    Unpublish(page);
    free_.push_back(page);
  }
}

void KvPool::Check(std::span<const int> held) const {
  const auto require = [](bool holds, const char* what, int32_t page) {
    if (!holds) Throw(ErrorCode::kInternal, "KV pool: {} (page {})", what, page);
  };
  std::vector<int> times_listed(pages_.size(), 0);
  for (const int32_t page : free_) {
    ++times_listed[static_cast<size_t>(page)];
    require(!At(page).published, "a free page is published", page);
  }
  int count = 0;
  for (int32_t page = oldest_kept_; page >= 0; page = At(page).newer) {
    ++times_listed[static_cast<size_t>(page)];
    require(At(page).published, "a kept page is not published", page);
    require(++count <= num_pages(), "the list of kept pages is a ring", page);
  }
  require(count == num_kept_, "kept pages are miscounted", -1);
  int num_published = 0;
  for (int32_t page = 0; page < num_pages(); ++page) {
    const Page& record = At(page);
    const bool is_held = record.num_holds > 0;
    require(record.num_holds == held[static_cast<size_t>(page)], "holds are miscounted", page);
    require(times_listed[static_cast<size_t>(page)] == (is_held ? 0 : 1),
            "a page is not in exactly one state", page);
    if (!record.published) continue;
    ++num_published;
    const auto found = index_.find(record.hash);
    require(found != index_.end() && found->second == page, "a page is not indexed", page);
    if (record.parent < 0) continue;
    const Page& parent = At(record.parent);
    require(parent.published && parent.serial == record.parent_serial, "a page lost its parent",
            page);
    require(!is_held || parent.num_holds > 0, "a page is held, its parent is not", page);
  }
  require(num_published == static_cast<int>(index_.size()), "the index has strays", -1);
}

}  // namespace retort
