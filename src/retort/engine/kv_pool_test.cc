#include "retort/engine/kv_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "retort/base/error.h"
#include "retort/base/random.h"

namespace retort {
namespace {

std::vector<int32_t> Tokens(int num_pages, int32_t first) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < num_pages * kPageTokens; ++i) tokens.push_back(first + i);
  return tokens;
}

std::span<const int32_t> Piece(const std::vector<int32_t>& tokens, size_t page) {
  return std::span(tokens).subspan(page * kPageTokens, kPageTokens);
}

std::vector<int32_t> Fill(KvPool& pool, const std::vector<int32_t>& tokens, uint64_t domain = 0) {
  std::vector<int32_t> pages;
  for (size_t i = 0; i < tokens.size() / kPageTokens; ++i) {
    const int32_t page = pool.Allocate();
    pages.push_back(pool.Publish(page, i == 0 ? -1 : pages.back(), domain, Piece(tokens, i)));
  }
  return pages;
}

TEST(KvPool, FindsPublishedPrefixInItsDomainOnly) {
  KvPool pool({8, true, 128});
  const auto tokens = Tokens(3, 0);
  std::vector<int32_t> pages = Fill(pool, tokens);
  EXPECT_EQ(pool.num_available(), 5);
  const std::vector<int32_t> kept = pages;
  pool.Release(pages);
  EXPECT_EQ(pool.num_available(), 8);
  EXPECT_EQ(pool.num_kept(), 3);

  auto longer = tokens;
  longer.resize(tokens.size() + 10, 7);
  std::vector<int32_t> found = pool.Match(0, longer);
  EXPECT_EQ(found, kept);
  pool.Release(found);
  found = pool.Match(0, std::span(tokens).first(2 * kPageTokens + 31));  // whole pages only
  EXPECT_EQ(found.size(), 2u);
  pool.Release(found);
  EXPECT_TRUE(pool.Match(1, tokens).empty());
  auto other = tokens;
  other[kPageTokens - 1] = -5;  // the first page differs, so nothing after it may be found
  EXPECT_TRUE(pool.Match(0, other).empty());
}

TEST(KvPool, EvictsLeastRecentlyUsedTailFirst) {
  KvPool pool({4, true, 128});
  const auto a = Tokens(2, 0);
  const auto b = Tokens(2, 1000);
  std::vector<int32_t> pages_a = Fill(pool, a);
  std::vector<int32_t> pages_b = Fill(pool, b);
  pool.Release(pages_a);
  pool.Release(pages_b);
  std::vector<int32_t> held = {pool.Allocate()};
  EXPECT_EQ(pool.Peek(0, a).num_pages, 1);  // a's tail went
  EXPECT_EQ(pool.Peek(0, b).num_pages, 2);
  std::vector<int32_t> again = pool.Match(0, a);  // a's head is now the youngest
  pool.Release(again);
  held.push_back(pool.Allocate());
  EXPECT_EQ(pool.Peek(0, a).num_pages, 1);
  EXPECT_EQ(pool.Peek(0, b).num_pages, 1);
  pool.Release(held);
  pool.Clear();
  EXPECT_EQ(pool.num_published(), 0);
  EXPECT_EQ(pool.num_available(), 4);
}

TEST(KvPool, EqualPagesBecomeOne) {
  KvPool pool({4, true, 128});
  const auto tokens = Tokens(2, 0);
  std::vector<int32_t> first = Fill(pool, tokens);
  std::vector<int32_t> second = Fill(pool, tokens);
  EXPECT_EQ(first, second);
  EXPECT_EQ(pool.num_available(), 2);
  pool.Release(first);
  EXPECT_EQ(pool.num_kept(), 0);
  pool.Release(second);
  EXPECT_EQ(pool.num_kept(), 2);
}

TEST(KvPool, OffFindsNothing) {
  KvPool pool({4, false, 128});
  const auto tokens = Tokens(2, 0);
  std::vector<int32_t> pages = Fill(pool, tokens);
  EXPECT_TRUE(pool.Match(0, tokens).empty());
  pool.Release(pages);
  EXPECT_EQ(pool.num_kept(), 0);
  EXPECT_EQ(pool.num_available(), 4);
}

TEST(KvPool, ContradictionsAreInternalErrors) {
  EXPECT_THROW(KvPool({0, true, 128}), Error);
  KvPool pool({1, true, 128});
  std::vector<int32_t> bad = {0};
  EXPECT_THROW(pool.Release(bad), Error);
  bad = {7};
  EXPECT_THROW(pool.Release(bad), Error);
  pool.Allocate();
  EXPECT_THROW(pool.Allocate(), Error);
  EXPECT_THROW(pool.Publish(0, -1, 0, std::vector<int32_t>(3)), Error);
}

// Random sequences over few distinct tokens, against a model that remembers what each page's memory
// holds: the tokens of its whole chain.
class KvPoolProperty : public testing::TestWithParam<int> {};

TEST_P(KvPoolProperty, NeverServesWrongPagesNorLosesAny) {
  const int hash_bits = GetParam();
  for (uint64_t seed = 0; seed < 40; ++seed) {
    uint64_t draw = 0;
    const auto random = [&](uint64_t n) { return RandomBits(seed, draw++) % n; };
    const int num_pages = static_cast<int>(3 + random(20));
    KvPool pool({num_pages, true, hash_bits});
    struct Holder {
      uint64_t domain;
      std::vector<int32_t> tokens;
      std::vector<int32_t> pages;
      size_t num_published = 0;
    };
    std::vector<Holder> holders;
    using Content = std::pair<uint64_t, std::vector<int32_t>>;
    std::vector<Content> memory(static_cast<size_t>(num_pages));
    const auto content = [](const Holder& holder, size_t page) {
      return Content(holder.domain, std::vector<int32_t>(
                                        holder.tokens.begin(),
                                        holder.tokens.begin() +
                                            static_cast<std::ptrdiff_t>((page + 1) * kPageTokens)));
    };
    int num_found = 0;
    for (int step = 0; step < 400; ++step) {
      const uint64_t op = random(10);
      if (op < 4) {  // a new sequence
        Holder holder;
        holder.domain = random(2);
        const size_t length = 1 + random(5);
        for (size_t i = 0; i < length; ++i) {
          const auto token = static_cast<int32_t>(random(2));
          holder.tokens.insert(holder.tokens.end(), kPageTokens, token);
        }
        holder.pages = pool.Match(holder.domain, holder.tokens);
        holder.num_published = holder.pages.size();
        num_found += static_cast<int>(holder.pages.size());
        for (size_t i = 0; i < holder.pages.size(); ++i) {
          ASSERT_EQ(memory[static_cast<size_t>(holder.pages[i])], content(holder, i));
        }
        while (holder.pages.size() < length && pool.num_available() > 0) {
          const int32_t page = pool.Allocate();
          memory[static_cast<size_t>(page)] = content(holder, holder.pages.size());
          holder.pages.push_back(page);
        }
        holders.push_back(std::move(holder));
      } else if (op < 8 && !holders.empty()) {  // one publishes its next page
        Holder& holder = holders[random(holders.size())];
        const size_t at = holder.num_published;
        if (at < holder.pages.size()) {
          holder.pages[at] = pool.Publish(holder.pages[at], at == 0 ? -1 : holder.pages[at - 1],
                                          holder.domain, Piece(holder.tokens, at));
          ASSERT_EQ(memory[static_cast<size_t>(holder.pages[at])], content(holder, at));
          ++holder.num_published;
        }
      } else if (!holders.empty()) {  // one ends
        const size_t at = random(holders.size());
        pool.Release(holders[at].pages);
        holders.erase(holders.begin() + static_cast<std::ptrdiff_t>(at));
      }
      std::vector<int> held(static_cast<size_t>(num_pages), 0);
      for (const Holder& holder : holders) {
        for (const int32_t page : holder.pages) ++held[static_cast<size_t>(page)];
      }
      ASSERT_NO_THROW(pool.Check(held)) << "seed " << seed << " step " << step;
    }
    EXPECT_GT(num_found, 0);
    for (Holder& holder : holders) pool.Release(holder.pages);
    EXPECT_EQ(pool.num_available(), num_pages);
  }
}

INSTANTIATE_TEST_SUITE_P(HashBits, KvPoolProperty, testing::Values(128, 2));

}  // namespace
}  // namespace retort
