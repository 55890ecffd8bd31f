#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "retort/base/error.h"
#include "retort/dataset/column_types.h"
#include "retort/pipeline/step.h"
#include "retort/steps/neighbour_index.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

// Numbers and lists written as text, as all that a CSV file holds is, as what they spell; any other
// value as it is.
Json AsWritten(const Json& value) {
  if (!value.is_string()) return value;
  for (const ColumnType type : {ColumnType::kFloat, ColumnType::kJson}) {
    try {
      Json read = ConvertColumn(type, value);
      if (read.is_number() || read.is_array()) return read;
    } catch (const Error&) {
      // it is text
    }
  }
  return value;
}

std::optional<double> NumberOf(const Json& value) {
  const Json written = AsWritten(value);
  if (!written.is_number() || !std::isfinite(written.get<double>())) return std::nullopt;
  return written.get<double>();
}

// The scores of a row's turns in one column; none if there is no number, or not in every turn.
std::vector<double> ScoresOf(const Json& value) {
  const Json written = AsWritten(value);
  std::vector<double> scores;
  for (const Json& turn : written.is_array() ? written : Json::array({written})) {
    const std::optional<double> score = NumberOf(turn);
    if (!score) return {};
    scores.push_back(*score);
  }
  return scores;
}

constexpr std::string_view kScoreColumns[] = {"evol_instruction_score", "evol_response_score"};

// The DEITA score of a row, or nothing if it has not both scores. Scores of several turns (lists of
// one length) are multiplied turn by turn and summed.
std::optional<double> DeitaScore(const Row& row) {
  const std::vector<double> complexity = ScoresOf(row.at(kScoreColumns[0]));
  const std::vector<double> quality = ScoresOf(row.at(kScoreColumns[1]));
  if (complexity.empty() || complexity.size() != quality.size()) return std::nullopt;
  const double score =
      std::inner_product(complexity.begin(), complexity.end(), quality.begin(), 0.0);
  return std::isfinite(score) ? std::optional(score) : std::nullopt;
}

// "row 3 has "high" as evol_instruction_score": why a row has no DEITA score.
std::string WhyUnscored(const Row& row, size_t index) {
  for (const std::string_view column : kScoreColumns) {
    if (!ScoresOf(row.at(column)).empty()) continue;
    const std::string value = DumpJson(row.at(column)).substr(0, 40);
    return fmt::format("row {} has {}{} as {}, which is no number", index,
                       row.at(column).is_string() ? "the text " : "", value, column);
  }
  if (ScoresOf(row.at(kScoreColumns[0])).size() == ScoresOf(row.at(kScoreColumns[1])).size()) {
    return fmt::format("row {} has scores whose product is no finite number", index);
  }
  return fmt::format("row {} has scores of different numbers of turns", index);
}

// The rows that have an embedding: first those with a score, best first, then the others.
struct Candidates {
  std::vector<size_t> input_index;  // [N]
  std::vector<double> score;        // [num_scored]
  std::vector<double> unit;         // [N, E] embeddings scaled to length 1
  std::vector<float> unit_f32;      // [N, E] the same, for the neighbour search
  size_t dim = 0;                   // E
  size_t num_unscored = 0;          // rows without both scores
  std::string why_unscored;         // of the first of them

  size_t num_scored() const { return score.size(); }
  const float* UnitF32(size_t i) const { return unit_f32.data() + i * dim; }

  double Similarity(size_t i, size_t j) const {
    return std::inner_product(unit.begin() + i * dim, unit.begin() + (i + 1) * dim,
                              unit.begin() + j * dim, 0.0);
  }
};

// Appends the unit vector of a row's embedding; false if the row has none.
bool AppendUnitVector(const Row& row, size_t index, Candidates& candidates) {
  Json spelled;
  const Json& embedding = row.at("embedding").is_string()
                              ? (spelled = AsWritten(row.at("embedding")))
                              : row.at("embedding");
  if (!embedding.is_array() || embedding.empty()) return false;
  if (candidates.dim == 0) candidates.dim = embedding.size();
  if (embedding.size() != candidates.dim) {
    Throw(ErrorCode::kInvalid,
          "DeitaFiltering: the embedding of row {} has {} values, those before it {}", index,
          embedding.size(), candidates.dim);
  }
  double largest = 0;
  for (const Json& value : embedding) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) return false;
    largest = std::max(largest, std::abs(value.get<double>()));
  }
  if (largest == 0) return false;  // has no direction
  // Squares of very large and very small values are no doubles.
  double squares = 0;
  for (const Json& value : embedding) squares += std::pow(value.get<double>() / largest, 2);
  const double length = std::sqrt(squares);
  for (const Json& value : embedding) {
    candidates.unit.push_back(value.get<double>() / largest / length);
    candidates.unit_f32.push_back(static_cast<float>(candidates.unit.back()));
  }
  candidates.input_index.push_back(index);
  return true;
}

Candidates CandidatesOf(const std::vector<Row>& rows) {
  std::vector<std::pair<size_t, double>> scored;
  std::vector<size_t> unscored;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (const auto score = DeitaScore(rows[i])) {
      scored.emplace_back(i, *score);
    } else {
      unscored.push_back(i);
    }
  }
  Candidates candidates;
  candidates.num_unscored = unscored.size();
  if (!unscored.empty()) {
    candidates.why_unscored = WhyUnscored(rows[unscored.front()], unscored.front());
  }
  // Equal scores keep the rows' order, so that a run repeats.
  std::stable_sort(scored.begin(), scored.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [index, score] : scored) {
    if (AppendUnitVector(rows[index], index, candidates)) candidates.score.push_back(score);
  }
  for (const size_t index : unscored) AppendUnitVector(rows[index], index, candidates);
  return candidates;
}

struct Selected {
  size_t candidate;
  double nearest_distance;  // cosine distance to the nearest row compared with; 2 if there was none
};

struct Selection {
  std::vector<Selected> selected;
  size_t num_similar = 0;  // looked at and left out, as too like another row
};

// DEITA's own rule (Liu et al. 2024, algorithm 1): walk down by score, keep what is not too similar
// to what is kept.
Selection SelectAgainstSelected(const Candidates& candidates, size_t budget,
                                double max_similarity) {
  const std::unique_ptr<NeighbourIndex> kept = MakeNeighbourIndex(candidates.dim);
  Selection selection;
  std::vector<Selected>& selected = selection.selected;
  for (size_t i = 0; i < candidates.num_scored() && selected.size() < budget; ++i) {
    double similarity = -1;
    if (!selected.empty()) {
      int64_t nearest = -1;
      kept->Search(1, candidates.UnitF32(i), 1, &nearest);
      similarity = candidates.Similarity(i, selected[nearest].candidate);
    }
    if (!selected.empty() && similarity > max_similarity) {
      ++selection.num_similar;
      continue;
    }
    kept->Add(1, candidates.UnitF32(i));
    selected.push_back({i, 1 - similarity});
  }
  return selection;
}

// Distilabel's rule: keep a row whose nearest neighbour in the whole data set is far enough.
// Distances are found block by block: memory grows with the rows, not with their square.
Selection SelectAgainstDataset(const Candidates& candidates, size_t budget, double threshold) {
  constexpr size_t kBlockRows = 256;
  constexpr size_t kNeighbours = 4;  // the row itself, and others whose f32 products may tie
  const std::unique_ptr<NeighbourIndex> index = MakeNeighbourIndex(candidates.dim);
  index->Add(candidates.input_index.size(), candidates.unit_f32.data());
  const size_t k = std::min(kNeighbours, candidates.input_index.size());
  std::vector<int64_t> neighbours(kBlockRows * k);
  Selection selection;
  std::vector<Selected>& selected = selection.selected;
  for (size_t begin = 0; begin < candidates.num_scored() && selected.size() < budget;
       begin += kBlockRows) {
    const size_t count = std::min(kBlockRows, candidates.num_scored() - begin);
    index->Search(count, candidates.UnitF32(begin), k, neighbours.data());
    for (size_t row = 0; row < count && selected.size() < budget; ++row) {
      const size_t i = begin + row;
      double similarity = -1;  // alone in the data set: as far as can be
      for (size_t n = 0; n < k; ++n) {
        const int64_t other = neighbours[row * k + n];
        if (other < 0 || static_cast<size_t>(other) == i) continue;
        similarity = std::max(similarity, candidates.Similarity(i, other));
      }
      if (1 - similarity >= threshold) {
        selected.push_back({i, 1 - similarity});
      } else {
        ++selection.num_similar;
      }
    }
  }
  return selection;
}

class DeitaFiltering : public GlobalStep {
 public:
  explicit DeitaFiltering(const Params& params)
      : budget_(static_cast<size_t>(params.Int("data_budget"))),
        against_dataset_(params.String("diversity") == "dataset"),
        max_similarity_(params.Has("max_similarity") ? params.Float("max_similarity") : 0.9),
        threshold_(params.Has("diversity_threshold") ? params.Float("diversity_threshold") : 0.9) {
    OpenNeighbourModule();
  }

  std::vector<Output> Process(std::vector<Row> rows, const StepContext& context) const override {
    const Candidates candidates = CandidatesOf(rows);
    Selection selection;
    if (candidates.num_scored() > 0) {
      selection = against_dataset_ ? SelectAgainstDataset(candidates, budget_, threshold_)
                                   : SelectAgainstSelected(candidates, budget_, max_similarity_);
    }
    if (selection.selected.size() < rows.size()) {
      context.warn(WhyLeftOut(candidates, selection, rows.size()));
    }
    std::vector<Selected>& selected = selection.selected;
    std::sort(selected.begin(), selected.end(), [&](const auto& a, const auto& b) {
      return candidates.input_index[a.candidate] < candidates.input_index[b.candidate];
    });
    std::vector<Output> outputs;
    for (const Selected& choice : selected) {
      const size_t index = candidates.input_index[choice.candidate];
      Row row = std::move(rows[index]);
      row["deita_score"] = candidates.score[choice.candidate];
      row["deita_score_computed_with"] = {"evol_instruction_score", "evol_response_score"};
      row["nearest_neighbor_distance"] = choice.nearest_distance;
      outputs.push_back({std::move(row), index});
    }
    return outputs;
  }

 private:
  // "kept 9 of 12 rows: 2 are too ..., 1 is ...".
  std::string WhyLeftOut(const Candidates& candidates, const Selection& selection,
                         size_t num_rows) const {
    const size_t num_kept = selection.selected.size();
    const size_t num_scored = candidates.num_scored();
    std::string reasons;
    const auto add = [&](size_t count, const std::string& reason) {
      if (count > 0) reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", count, reason);
    };
    add(selection.num_similar,
        against_dataset_
            ? fmt::format("nearer to another row than diversity_threshold {}", threshold_)
            : fmt::format("more like a row kept than max_similarity {}", max_similarity_));
    add(num_scored - num_kept - selection.num_similar,
        fmt::format("beyond data_budget {}", budget_));
    add(candidates.num_unscored, fmt::format("without both scores ({})", candidates.why_unscored));
    add(num_rows - candidates.num_unscored - num_scored, "without an embedding");
    return fmt::format("kept {} of {} rows; left out: {}", num_kept, num_rows, reasons);
  }

  size_t budget_;
  bool against_dataset_;
  double max_similarity_;
  double threshold_;
};

void CheckMode(const Params& params) {
  const bool dataset = params.String("diversity") == "dataset";
  const std::string_view other = dataset ? "max_similarity" : "diversity_threshold";
  if (params.Has(other)) {
    Throw(ErrorCode::kInvalid,
          "parameter '{}' belongs to the other mode: with 'diversity: {}' use '{}' ({})", other,
          params.String("diversity"), dataset ? "diversity_threshold" : "max_similarity",
          dataset ? "least cosine distance to the nearest row of the data set"
                  : "greatest cosine similarity to a row already kept");
  }
}

}  // namespace

StepType DeitaFilteringType() {
  return {
      .name = "DeitaFiltering",
      .summary =
          "Keeps the best-scored rows that differ from one another (DEITA, Liu et al. 2024).",
      .example = "data_budget: 100",
      .version = 3,
      .kind = StepKind::kGlobal,
      .params = {{.name = "data_budget",
                  .type = ParamType::kInt,
                  .required = true,
                  .min = 1,
                  .max = 1e12,
                  .help = "The most rows to keep."},
                 {.name = "diversity",
                  .type = ParamType::kString,
                  .default_value = "selected",
                  .choices = {"selected", "dataset"},
                  .help = "Compare a row with the rows kept so far (DEITA), or with all rows "
                          "(Distilabel)."},
                 {.name = "max_similarity",
                  .type = ParamType::kFloat,
                  .min = -1,
                  .max = 1,
                  .help =
                      "diversity: selected. Greatest cosine similarity to a row already kept; 0.9 "
                      "unless set."},
                 {.name = "diversity_threshold",
                  .type = ParamType::kFloat,
                  .min = 0,
                  .max = 2,
                  .help =
                      "diversity: dataset. Least cosine distance to the nearest row; 0.9 unless "
                      "set."}},
      .inputs =
          [](const Params&) {
            return std::vector<std::string>{"evol_instruction_score", "evol_response_score",
                                            "embedding"};
          },
      .outputs =
          [](const Params&) {
            return std::vector<std::string>{"deita_score", "deita_score_computed_with",
                                            "nearest_neighbor_distance"};
          },
      .check = CheckMode,
      .accepts_null = true,
      .create = [](const Params& params) -> std::unique_ptr<Step> {
        return std::make_unique<DeitaFiltering>(params);
      },
  };
}

}  // namespace retort
