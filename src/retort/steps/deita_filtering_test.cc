#include <gtest/gtest.h>

#include "retort/base/error.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

Row MakeRow(Json complexity, Json quality, Json embedding) {
  return {{"evol_instruction_score", std::move(complexity)},
          {"evol_response_score", std::move(quality)},
          {"embedding", std::move(embedding)}};
}

Params MakeParams(Json set) {
  Json values = {{"data_budget", nullptr},
                 {"diversity", "selected"},
                 {"max_similarity", nullptr},
                 {"diversity_threshold", nullptr}};
  values.update(set);
  return Params(values);
}

// `warnings`: what the step says, if given.
std::vector<GlobalStep::Output> Filter(Json set, std::vector<Row> rows,
                                       std::vector<std::string>* warnings = nullptr) {
  const StepType type = DeitaFilteringType();
  const Params params = MakeParams(std::move(set));
  type.check(params);
  const auto step = type.create(params);
  StepContext context;
  context.warn = [&](std::string_view line) {
    if (warnings != nullptr) warnings->emplace_back(line);
  };
  return dynamic_cast<GlobalStep&>(*step).Process(std::move(rows), context);
}

std::vector<size_t> Indices(const std::vector<GlobalStep::Output>& outputs) {
  std::vector<size_t> indices;
  for (const auto& output : outputs) indices.push_back(output.input_index);
  return indices;
}

// From Distilabel's documentation of DeitaFiltering.
TEST(DeitaFiltering, DistilabelsExample) {
  const auto outputs = Filter({{"data_budget", 1}, {"diversity", "dataset"}},
                              {MakeRow(0.5, 0.5, {-8.12729941, -5.24642847, -6.34003029}),
                               MakeRow(0.6, 0.6, {2.99329242, 0.7800932, 0.7799726}),
                               MakeRow(0.7, 0.7, {10.29041806, 14.33088073, 13.00557506})});
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_EQ(outputs[0].input_index, 0u);
  EXPECT_DOUBLE_EQ(outputs[0].row["deita_score"].get<double>(), 0.25);
  // 1 - a·b of two unit vectors in doubles: three products and two square roots, a few units of
  // 2^-53.
  EXPECT_NEAR(outputs[0].row["nearest_neighbor_distance"].get<double>(), 1.9042812683723933, 1e-15);
}

TEST(DeitaFiltering, KeepsTheBetterOfTwoNearDuplicates) {
  const std::vector<Row> rows = {MakeRow(1, 1, {1, 0}), MakeRow(2, 1, {1, 0.01}),
                                 MakeRow(1, 1.5, {0, 1})};
  EXPECT_EQ(Indices(Filter({{"data_budget", 10}}, rows)), (std::vector<size_t>{1, 2}));
  // The other mode drops both, as Distilabel does.
  EXPECT_EQ(Indices(Filter({{"data_budget", 10}, {"diversity", "dataset"}}, rows)),
            (std::vector<size_t>{2}));
}

TEST(DeitaFiltering, WhatIsExactlyAtTheBoundIsKept) {
  const std::vector<Row> right_angle = {MakeRow(2, 1, {1, 0}), MakeRow(1, 1, {0, 1})};
  EXPECT_EQ(Indices(Filter({{"data_budget", 9}, {"max_similarity", 0}}, right_angle)),
            (std::vector<size_t>{0, 1}));
  EXPECT_EQ(
      Indices(Filter({{"data_budget", 9}, {"diversity", "dataset"}, {"diversity_threshold", 1}},
                     right_angle)),
      (std::vector<size_t>{0, 1}));
}

TEST(DeitaFiltering, BudgetTakesTheBestAndKeepsTheRowsOrder) {
  EXPECT_EQ(
      Indices(Filter({{"data_budget", 2}}, {MakeRow(1, 3, {1, 0, 0}), MakeRow(1, 1, {0, 1, 0}),
                                            MakeRow(1, 2, {0, 0, 1})})),
      (std::vector<size_t>{0, 2}));
}

TEST(DeitaFiltering, MaxSimilarityOneKeepsDuplicates) {
  EXPECT_EQ(Indices(Filter({{"data_budget", 9}, {"max_similarity", 1}},
                           {MakeRow(1, 1, {1, 0}), MakeRow(1, 1, {1, 0})}))
                .size(),
            2u);
}

TEST(DeitaFiltering, RowsWithoutBothScoresOrAnEmbeddingAreNeverSelected) {
  EXPECT_EQ(
      Indices(Filter({{"data_budget", 9}},
                     {MakeRow(nullptr, 5, {1, 0}), MakeRow(5, nullptr, {0, 1}),
                      MakeRow(5, 5, nullptr), MakeRow(5, 5, {0, 0}), MakeRow(1, 1, {-1, 0})})),
      (std::vector<size_t>{4}));
  EXPECT_TRUE(Filter({{"data_budget", 9}}, {}).empty());
  EXPECT_TRUE(Filter({{"data_budget", 9}}, {MakeRow(nullptr, nullptr, nullptr)}).empty());
}

TEST(DeitaFiltering, UnscoredRowsAreStillNeighboursInTheDataset) {
  EXPECT_TRUE(Filter({{"data_budget", 9}, {"diversity", "dataset"}},
                     {MakeRow(1, 1, {1, 0}), MakeRow(nullptr, 1, {1, 0.001})})
                  .empty());
}

TEST(DeitaFiltering, TurnsAreMultipliedAndSummed) {
  const auto outputs = Filter({{"data_budget", 1}}, {MakeRow({2, 3}, {5, 7}, {1, 0})});
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_DOUBLE_EQ(outputs[0].row["deita_score"].get<double>(), 2 * 5 + 3 * 7);
  EXPECT_TRUE(Filter({{"data_budget", 1}}, {MakeRow({2, 3}, {5}, {1, 0})}).empty());
}

TEST(DeitaFiltering, OfEqualScoresTheFirstRowIsKept) {
  for (const char* mode : {"selected", "dataset"}) {
    EXPECT_EQ(Indices(Filter({{"data_budget", 1}, {"diversity", mode}},
                             {MakeRow(1, 1, {1, 0, 0}), MakeRow(2, 3, {0, 1, 0}),
                              MakeRow(3, 2, {0, 0, 1}), MakeRow(1, 6, {-1, 0, 0})})),
              std::vector<size_t>{1})
        << mode;
  }
}

TEST(DeitaFiltering, NumbersWrittenAsTextCount) {
  const auto outputs = Filter(
      {{"data_budget", 9}}, {MakeRow("5", " 0.5 ", "[1, 0]"), MakeRow({"2", 3}, "[5, 7]", {0, 1})});
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_DOUBLE_EQ(outputs[0].row["deita_score"].get<double>(), 2.5);
  EXPECT_DOUBLE_EQ(outputs[1].row["deita_score"].get<double>(), 31);
  EXPECT_EQ(outputs[0].row["evol_instruction_score"], "5");
  for (const char* text : {"high", "", "true", "nan", "5 of 6", "{}"}) {
    EXPECT_TRUE(Filter({{"data_budget", 9}}, {MakeRow(text, 1, {1, 0})}).empty()) << text;
  }
}

TEST(DeitaFiltering, SaysWhyRowsAreLeftOut) {
  std::vector<std::string> said;
  std::vector<Row> rows = {MakeRow(9, 1, {1, 0, 0}),      MakeRow(8, 1, {1, 0.01, 0}),
                           MakeRow(7, 1, {0, 1, 0}),      MakeRow(6, 1, {0, 0, 1}),
                           MakeRow("high", 1, {1, 1, 0}), MakeRow(5, 1, nullptr)};
  EXPECT_EQ(Filter({{"data_budget", 2}}, rows, &said).size(), 2u);
  EXPECT_EQ(said, std::vector<std::string>{
                      "kept 2 of 6 rows; left out: 1 more like a row kept than max_similarity 0.9, "
                      "1 beyond data_budget 2, 1 without both scores (row 4 has the text \"high\" "
                      "as evol_instruction_score, which is no number), 1 without an embedding"});
  said.clear();
  rows.resize(4);
  EXPECT_EQ(Filter({{"data_budget", 9}, {"diversity", "dataset"}, {"diversity_threshold", 0.5}},
                   rows, &said)
                .size(),
            2u);
  EXPECT_EQ(said, std::vector<std::string>{"kept 2 of 4 rows; left out: 2 nearer to another row "
                                           "than diversity_threshold 0.5"});
  said.clear();
  EXPECT_EQ(Filter({{"data_budget", 9}, {"max_similarity", 1}}, rows, &said).size(), 4u);
  EXPECT_TRUE(said.empty());
}

TEST(DeitaFiltering, TheOtherModesParameterIsAnError) {
  EXPECT_THROW(Filter({{"data_budget", 1}, {"diversity_threshold", 0.5}}, {}), Error);
  EXPECT_THROW(Filter({{"data_budget", 1}, {"diversity", "dataset"}, {"max_similarity", 0.5}}, {}),
               Error);
}

TEST(DeitaFiltering, VeryLargeAndVerySmallNumbersAreNumbers) {
  std::vector<std::string> warnings;
  const std::vector<Row> rows = {MakeRow(1e308, 1e308, {1, 0}), MakeRow(1, 2, {1e308, 1e308}),
                                 MakeRow(1, 1, {1e-300, -1e-300}), MakeRow(1, 3, {0, 0})};
  const auto outputs = Filter({{"data_budget", 9}}, rows, &warnings);
  EXPECT_EQ(Indices(outputs), (std::vector<size_t>{1, 2}));
  EXPECT_EQ(outputs[1].row["nearest_neighbor_distance"], 1);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("row 0 has scores whose product is no finite number"),
            std::string::npos)
      << warnings[0];
}

TEST(DeitaFiltering, EmbeddingsOfDifferentLengthsAreAnError) {
  EXPECT_THROW(Filter({{"data_budget", 1}}, {MakeRow(1, 1, {1, 0}), MakeRow(1, 1, {1, 0, 0})}),
               Error);
}

// The scan in blocks must agree with the definition: all pairs, in doubles.
TEST(DeitaFiltering, DatasetModeEqualsAllPairsAcrossBlocks) {
  std::vector<Row> rows;
  uint64_t state = 1;
  const auto next = [&] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<double>(state >> 40) / (1 << 24) - 0.5;
  };
  for (int i = 0; i < 700; ++i)
    rows.push_back(MakeRow(1 + next(), 1, {next(), next(), next(), next()}));
  std::vector<size_t> expected;
  for (size_t i = 0; i < rows.size(); ++i) {
    double nearest = 2;
    for (size_t j = 0; j < rows.size(); ++j) {
      if (i == j) continue;
      double ab = 0, aa = 0, bb = 0;
      for (int k = 0; k < 4; ++k) {
        const double a = rows[i]["embedding"][k], b = rows[j]["embedding"][k];
        ab += a * b, aa += a * a, bb += b * b;
      }
      nearest = std::min(nearest, 1 - ab / std::sqrt(aa * bb));
    }
    if (nearest >= 0.01) expected.push_back(i);
  }
  ASSERT_GT(expected.size(), 10u);
  ASSERT_LT(expected.size(), 690u);
  EXPECT_EQ(
      Indices(Filter(
          {{"data_budget", 1000}, {"diversity", "dataset"}, {"diversity_threshold", 0.01}}, rows)),
      expected);
}

}  // namespace
}  // namespace retort
