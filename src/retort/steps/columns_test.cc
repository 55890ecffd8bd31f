// The steps that only move columns: CombineOutputs, ConversationTemplate, ExpandColumns,
// KeepColumns, LoadDataFromDicts.
#include <gtest/gtest.h>

#include "retort/base/error.h"
#include "retort/base/json_object.h"
#include "retort/steps/step_list.h"

namespace retort {
namespace {

std::vector<Row> Expand(Json columns, bool encoded, Row row) {
  const StepType type = ExpandColumnsType();
  const Params params(Json{{"columns", std::move(columns)}, {"encoded", encoded}});
  type.check(params);
  const auto step = type.create(params);
  return dynamic_cast<RowsStep&>(*step).Process(std::move(row));
}

TEST(ExpandColumns, OneRowPerItemWithNewNames) {
  const auto rows = Expand({{"texts", "text"}, {"scores", "score"}}, false,
                           {{"id", 7}, {"texts", {"a", "b"}}, {"scores", {1, 2}}});
  EXPECT_EQ(Json(rows),
            Json::parse(R"([{"id":7,"text":"a","score":1},{"id":7,"text":"b","score":2}])"));
}

TEST(ExpandColumns, NamesAloneKeepTheirName) {
  EXPECT_EQ(Json(Expand(Json::array({"x"}), false, {{"x", {1, 2}}})),
            Json::parse(R"([{"x":1},{"x":2}])"));
}

TEST(ExpandColumns, ListsAsText) {
  EXPECT_EQ(Json(Expand(Json::array({"x"}), true, {{"x", "[1,2]"}})),
            Json::parse(R"([{"x":1},{"x":2}])"));
  EXPECT_THROW(Expand(Json::array({"x"}), true, {{"x", "[1,"}}), Error);
}

// Distilabel fills the gap with the whole row (its zip_longest has the row as fill value).
TEST(ExpandColumns, UnequalLengthsFailTheRow) {
  EXPECT_THROW(Expand(Json::array({"x", "y"}), false, {{"x", {1, 2}}, {"y", {1}}}), Error);
  EXPECT_THROW(Expand(Json::array({"x", "y"}), false, {{"x", {1}}, {"y", {1, 2}}}), Error);
}

// Distilabel voids the whole batch here.
TEST(ExpandColumns, AFailedColumnIsNullInEveryItem) {
  EXPECT_EQ(Json(Expand(Json::array({"x", "y"}), false, {{"x", {1, 2}}, {"y", nullptr}})),
            Json::parse(R"([{"x":1,"y":null},{"x":2,"y":null}])"));
}

TEST(ExpandColumns, EmptyListGivesNoRow) {
  EXPECT_TRUE(Expand(Json::array({"x"}), false, {{"x", Json::array()}}).empty());
}

TEST(ExpandColumns, BadColumnsParameter) {
  const StepType type = ExpandColumnsType();
  for (const char* columns : {"3", "[]", "[1]", R"({"a":1})", R"("x")", R"(["a","b","a"])",
                              R"({"a":"x","b":"x"})", R"({"a":"x","b":"x","c":"y"})"}) {
    EXPECT_THROW(type.check(Params(Json{{"columns", Json::parse(columns)}, {"encoded", false}})),
                 Error)
        << columns;
  }
}

TEST(ExpandColumns, ColumnsAfter) {
  const StepType type = ExpandColumnsType();
  const Params params(Json{{"columns", {{"xs", "x"}}}, {"encoded", false}});
  EXPECT_EQ(type.columns_after(params, {"id", "xs", "z"}),
            (std::vector<std::string>{"id", "z", "x"}));
}

TEST(ExpandColumns, NamesMayBeSwapped) {
  EXPECT_EQ(Json(Expand({{"x", "y"}, {"y", "x"}}, false, {{"x", {1}}, {"y", {2}}})),
            Json::parse(R"([{"y":1,"x":2}])"));
}

TEST(ExpandColumns, ItemsReplaceNoOtherColumn) {
  const StepType type = ExpandColumnsType();
  const Params params(Json{{"columns", {{"texts", "text"}}}, {"encoded", false}});
  EXPECT_THROW(type.columns_after(params, {"text", "texts"}), Error);
  EXPECT_THROW(Expand({{"texts", "text"}}, false, {{"text", "old"}, {"texts", {"new"}}}), Error);
}

TEST(ExpandColumns, NumbersInTextAreNotRounded) {
  EXPECT_EQ(Json(Expand(Json::array({"x"}), true, {{"x", "[18446744073709551615]"}})),
            Json::parse(R"([{"x":18446744073709551615}])"));
  EXPECT_THROW(Expand(Json::array({"x"}), true, {{"x", "[18446744073709551616]"}}), Error);
}

TEST(KeepColumns, OrderIsAsNamed) {
  const Params params(Json{{"columns", {"b", "a"}}});
  const auto step = KeepColumnsType().create(params);
  const auto rows = dynamic_cast<RowsStep&>(*step).Process({{"a", 1}, {"b", 2}, {"c", 3}});
  EXPECT_EQ(DumpJson(rows[0]), R"({"b":2,"a":1})");
}

TEST(CombineOutputs, UnionOfColumnsFirstBranchWins) {
  const auto step = CombineOutputsType().create(Params(Json::object()));
  const Row row =
      dynamic_cast<JoinStep&>(*step).Process({{{"a", 1}, {"x", 2}}, {{"a", 1}, {"y", 3}}});
  EXPECT_EQ(DumpJson(row), R"({"a":1,"x":2,"y":3})");
}

TEST(CombineOutputs, NullGivesWayAndDifferentValuesFail) {
  const auto step = CombineOutputsType().create(Params(Json::object()));
  const auto combine = [&](const char* rows) {
    return DumpJson(dynamic_cast<JoinStep&>(*step).Process(Json::parse(rows)));
  };
  EXPECT_EQ(combine(R"([{"m":null,"x":1},{"m":"a"},{"m":null}])"), R"({"m":"a","x":1})");
  EXPECT_EQ(combine(R"([{"m":"a"},{"m":null}])"), R"({"m":"a"})");
  for (const char* rows : {R"([{"a":1},{"a":2}])", R"([{"a":1},{"b":1},{"a":"1"}])"}) {
    EXPECT_THROW(combine(rows), Error) << rows;
  }
}

// A minute and more if each column were looked for among the others.
TEST(Columns, WideRowsTakeTimeWithTheirColumns) {
  Row wide = Row::object();
  Json names = Json::array();
  for (int i = 0; i < 200'000; ++i) {
    names.push_back("c" + std::to_string(i));
    AppendMember(wide.get_ref<Json::object_t&>(), names.back(), i);
  }
  const auto keep = KeepColumnsType().create(Params(Json{{"columns", names}}));
  EXPECT_EQ(dynamic_cast<RowsStep&>(*keep).Process(wide), std::vector<Row>{wide});
  const auto combine = CombineOutputsType().create(Params(Json::object()));
  EXPECT_EQ(dynamic_cast<JoinStep&>(*combine).Process({wide, wide}), wide);
  const StepType dicts = LoadDataFromDictsType();
  dicts.check(Params(Json{{"data", Json::array({wide, wide})}}));
  const Params expand(Json{{"columns", names}, {"encoded", false}});
  EXPECT_EQ(ExpandColumnsType().columns_after(expand, names).size(), 200'000u);
}

class NoContext : public RowContext {
 public:
  uint64_t Random(uint64_t) const override { return 0; }
  std::vector<Answer> GenerateEach(std::vector<Prompt>,
                                   std::shared_ptr<const ConstraintText>) override {
    return {};
  }
  std::vector<Scores> Score(std::vector<Prompt>, std::vector<std::string>) override { return {}; }
  std::vector<float> Embed(Prompt, PoolingKind, bool) override { return {}; }
  std::string_view model_name() const override { return ""; }
  void KeepRaw(std::string_view) override {}
};

TEST(ConversationTemplate, OneTurn) {
  const auto step = ConversationTemplateType().create(Params(Json::object()));
  NoContext context;
  EXPECT_EQ(DumpJson(dynamic_cast<RowStep&>(*step).Process(
                {{"instruction", "Why?"}, {"response", "So."}}, context)),
            R"({"conversation":[{"role":"user","content":"Why?"},)"
            R"({"role":"assistant","content":"So."}]})");
}

TEST(LoadDataFromDicts, RowsInOrderAndEarlyStop) {
  const Params params(Json{{"data", {{{"a", 1}}, {{"a", 2}}, {{"a", 3}}}}});
  const StepType type = LoadDataFromDictsType();
  type.check(params);
  EXPECT_EQ(type.outputs(params), std::vector<std::string>{"a"});
  const auto step = type.create(params);
  std::vector<int> seen;
  dynamic_cast<SourceStep&>(*step).Read({}, [&](Row row) {
    seen.push_back(row["a"]);
    return seen.size() < 2;
  });
  EXPECT_EQ(seen, (std::vector<int>{1, 2}));
}

TEST(LoadDataFromDicts, RefusesWhatIsNotAListOfLikeRows) {
  const StepType type = LoadDataFromDictsType();
  for (const char* data : {"{}", "[]", "[1]", R"([{"a":1},{"b":1}])", R"([{"a":1},2])"}) {
    EXPECT_THROW(type.check(Params(Json{{"data", Json::parse(data)}})), Error) << data;
  }
}

}  // namespace
}  // namespace retort
