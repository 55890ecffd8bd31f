// A template comes from a stranger: whatever it says, a render ends in the budget given to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <thread>

#include "retort/base/error.h"
#include "retort/base/file.h"
#include "retort/base/shared_data_test.h"
#include "retort/chat/chat_template.h"
#include "retort/chat/template.h"

namespace retort {
namespace {

using testing::HasSubstr;
// Of this thread: other work on the machine does not count.
double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::string Repeated(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

struct Outcome {
  std::string text;
  std::optional<Error> error;
  RenderCost cost;
};

Outcome Render(const std::string& source, RenderOptions options = {},
               const Json& context = Json::object()) {
  Outcome outcome;
  options.cost = &outcome.cost;
  try {
    outcome.text = PlainText(Template::Parse(source, "t").Render(context, options));
  } catch (const Error& error) {
    outcome.error = error;
  }
  return outcome;
}

bool IsExhausted(const Outcome& outcome) {
  return outcome.error && outcome.error->code() == ErrorCode::kExhausted;
}

// A list of two lists of two lists ..., 60 deep: 61 values, and 2^60 to who walks over them.
const std::string kShared =
    "{% set s = namespace(x=[1], y=[1], t=(1,)) %}{% for i in range(60) %}"
    "{% set s.x = [s.x, s.x] %}{% set s.y = [s.y, s.y] %}{% set s.t = (s.t, s.t) %}{% endfor %}";
const std::string kLong = "{% set a = 'a' * 400000 %}{% set aa = 'a' * 900000 %}";
const std::string kForever =
    "{% for i in range(100000) %}{% for j in range(100000) %}@{% endfor %}{% endfor %}";

std::string Forever(std::string_view body) {
  std::string source = kForever;
  return source.replace(source.find('@'), 1, body);
}

// Every one would take hours or all memory without a budget, or took far more than it spent.
const std::string kAttacks[] = {
    // Walks over shared values.
    kShared + "{{ s.x }}",
    kShared + "{{ s.x == s.y }}",
    kShared + "{{ s.x < s.y }}",
    kShared + "{{ s.x in [s.y] }}",
    kShared + "{{ [s.y].index(s.x) }}",
    kShared + "{{ [s.y].count(s.x) }}",
    kShared + "{{ s.x | tojson }}",
    kShared + "{{ s.x | tojson(indent=2) }}",
    kShared + "{{ s.x | string }}",
    kShared + "{{ s.x | join }}",
    kShared + "{{ [s.x, s.y] | sort }}",
    kShared + "{{ [s.x, s.y] | max }}",
    kShared + "{{ [{'k': s.x}, {'k': s.y}] | groupby('k') }}",
    kShared + "{{ [{'k': s.t}, {'k': s.t}] | unique(attribute='k') | list }}",
    kShared + "{{ {s.t: 1} }}",
    kShared + "{{ {}[s.t] }}",
    kShared + "{{ {}.get(s.t) }}",
    kShared + "{{ dict([(s.t, 1)]) }}",
    kShared + "{{ {'a': s.x}.values() }}",
    kShared + "{{ '%s' % [s.x] }}",
    kShared + "{{ '%r' | format(s.x) }}",
    kShared + "{{ '{}'.format(s.x) }}",
    kShared + "{{ 'a' ~ s.x }}",
    kShared + "{{ s.x is eq s.y }}",
    kShared + "{{ s.x is lower }}",
    kShared + "{{ s.x | upper }}",
    kShared + "{{ s.x | replace('1', '2') }}",
    kShared + "{{ s.x | wordcount }}",
    kShared + "{{ s.x | urlencode }}",
    kShared + "{{ raise_exception(s.x) }}",
    kShared + "{% for i in [1, 2] %}{{ loop.changed(s.x if i == 1 else s.y) }}{% endfor %}",
    kShared + "{% filter replace('a', s.x) %}{% endfilter %}",
    // Searches that start anew at every place.
    Forever("{{ 'a' * 4000 ~ 'b' in 'a' * 9000 }}"),
    Forever("{{ ('a' * 9000).find('a' * 4000 ~ 'b') }}"),
    Forever("{{ ('a' * 9000).rfind('b' ~ 'a' * 4000) }}"),
    Forever("{{ ('a' * 9000).replace('a' * 4000 ~ 'b', '') }}"),
    Forever("{{ ('a' * 9000).split('a' * 4000 ~ 'b') }}"),
    Forever("{{ ('a' * 9000).rsplit('b' ~ 'a' * 4000) }}"),
    Forever("{{ ('a' * 9000).count('a' * 4000 ~ 'b') }}"),
    Forever("{{ ('a' * 9000).partition('a' * 4000 ~ 'b') }}"),
    Forever("{{ ('a' * 9000).rpartition('b' ~ 'a' * 4000) }}"),
    Forever("{{ ('a' * 9000).strip('b' * 4000 ~ 'a') }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ a.startswith('b', 899999) }}"),
    "{% set a = 'a' * 900000 %}{% set t = (a ~ 'b',) * 1000 %}" + Forever("{{ a.startswith(t) }}"),
    "{% set a = 'a' * 900000 %}{% set b = 'a' * 900000 %}" + Forever("{{ a == b }}"),
    "{% set a = 'a' * 900000 %}{% set b = 'a' * 900000 %}" + Forever("{{ a < b }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ {}[a] }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ a is lower }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ a.islower() }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ a | int }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ 1 | tojson(indent=a) }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ 1 | tojson(separators=(a, a)) }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ '' | indent(a) }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ a[5] }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ a | length }}"),
    "{% set a = 'a' * 900000 %}" + Forever("{{ x[a] }}{{ [][a] }}"),
    Forever("{{ '%.9999f' % 1e308 }}"),
    Forever("{{ '{:.9999f}'.format(1e308) }}"),
    // What grows.
    "{{ range(5) | batch(10**12, 'x') | list }}",
    "{{ range(5) | slice(10**12) | list }}",
    "{{ range(100000) | slice(1000000) | list }}",
    "{{ [0] * 10**12 }}",
    "{{ (0,) * 10**12 }}",
    "{{ 'a' * 10**12 }}",
    "{{ 'a'.center(10**12) }}",
    "{{ 'a'.ljust(10**12) }}",
    "{{ 'a'.zfill(10**12) }}",
    "{{ 'a' | center(10**12) }}",
    "{{ 'a\\n' | indent(10**12) }}",
    "{{ ('\\n' * 1000000) | indent('x' * 1000000) }}",
    "{{ ('\\n' * 60000000).splitlines() }}",
    "{{ ('a ' * 30000000).split() }}",
    "{{ ('\\t' * 60000000).expandtabs(1000) }}",
    "{{ ('&' * 60000000) | e }}",
    "{{ (' ' * 60000000) | urlencode }}",
    "{{ ('\\x01' * 60000000) | tojson }}",
    "{{ ['\\x01' * 60000000] }}",
    "{{ ('a' * 60000000) | list }}",
    "{{ ('a' * 60000000)[::-1] }}",
    "{{ ('a' * 60000000).replace('', 'xx') }}",
    "{{ 'ab'.replace('', 'x' * 60000000) }}",
    "{{ ('%9999d' * 100000) | format(*([1] * 100000)) }}",
    "{{ ('{:9999}' * 100000).format(*([1] * 100000)) }}",
    "{{ [[1]] | tojson(indent='x' * 60000000) }}",
    "{{ ('[' * 1000000) | from_json }}",
    "{{ ('[' ~ '[],' * 20000000 ~ '[]]') | from_json | length }}",
    "{{ [[[1]] * 1000] * 1000 | tojson(separators=('x' * 1000000, 'y')) }}",
    "{{ range(10000) | map('center', 100000) | list }}",
    "{{ range(100000) | map(attribute='none') | list | length }}" + kForever,
    "{% set n = namespace(x='') %}" + Forever("{% set n.x = n.x ~ 'abcdefgh' %}"),
    "{% set n = namespace(x=[]) %}" + Forever("{% set n.x = n.x + [1] %}"),
    "{% set n = namespace(x={}) %}" + Forever("{% set n.x = dict(n.x, a=1) %}"),
    "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}{% set n = namespace(x='abc') %}" +
        Forever("{% set n.x = m(n.x) %}"),
    // Names by the thousand.
    "{% set d = dict(range(100000) | map('string') | batch(2)) %}"
    "{% macro m() %}{{ kwargs }}{% endmacro %}" +
        Forever("{{ m(**d) }}"),
    "{% set d = dict(range(100000) | map('string') | batch(2)) %}" +
        Forever("{% set n = namespace(**d) %}{{ n.x }}"),
    "{% set d = dict(range(100000) | map('string') | batch(2)) %}" +
        Forever("{{ '{none}'.format(**d) }}"),
    // Depth.
    "{% set n = namespace(x=[]) %}" + Forever("{% set n.x = [n.x] %}"),
    "{% set n = namespace(x={}) %}" + Forever("{% set n.x = {1: n.x} %}"),
    "{% set n = namespace(x=1) %}" + Forever("{% set n.x = cycler(n.x) %}"),
    "{% set n = namespace(x=1) %}" + Forever("{% set n.x = joiner(n.x) %}"),
    "{% set n = namespace(x=[1]) %}" + Forever("{% set n.x = n.x | map('abs') %}"),
    "{% set n = namespace(x=[1]) %}" + Forever("{% set n.x = n.x | reverse %}"),
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
    "{% macro m(x) %}{{ m(m) }}{% endmacro %}{{ m(m) }}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    // Chains of what may hold more than its depth says.
    "{% set n = namespace(x=1) %}" +
        Forever("{% for y in [n] | map(attribute='x') %}{% set n.x = loop %}{% endfor %}"),
    "{% set n = namespace(x=1) %}" + Forever("{% set n.x = namespace(x=n.x) %}"),
    "{% set n = namespace(x=1) %}" +
        Forever("{% set g = [n] | unique(attribute='x') %}{{ g | first is none }}"
                "{% set n.x = g %}"),
    "{% set n = namespace(x=1) %}" +
        Forever("{% for i in [1] %}{{ loop.changed(n.x) }}{% set n.x = loop %}{% endfor %}"),
    "{% set n = namespace(x=1) %}" +
        Forever("{% macro m() %}{{ n.x }}{% endmacro %}{% set n.x = m %}"),
};

TEST(Budget, EveryAttackEndsWithinIt) {
  RenderOptions options;
  options.steps_max = 1'000'000;
  options.bytes_max = 100 << 20;
  for (const std::string& source : kAttacks) {
    SCOPED_TRACE(source.substr(0, 300));
    const double begin = CpuSeconds();
    const Outcome outcome = Render(source, options);
    const double seconds = CpuSeconds() - begin;
    EXPECT_TRUE(outcome.error) << "rendered";
    if (outcome.error) {
      EXPECT_NE(outcome.error->code(), ErrorCode::kInternal) << outcome.error->message();
      EXPECT_LT(outcome.error->message().size(), kRenderMessageBytesMax + 100);
    }
    EXPECT_LE(outcome.cost.steps, options.steps_max);
    EXPECT_LE(outcome.cost.bytes, options.bytes_max);
    EXPECT_LT(seconds, 5) << "a step is to take a fraction of a microsecond";
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    ASSERT_LT(usage.ru_maxrss, 1 << 20) << "KiB: far more than was counted";
  }
}

TEST(Budget, LinearSearchFindsWhatIsThere) {
  const Json context = ParseJson(R"({"t": "abcabcabdé abcabd", "u": "ab"})", "c");
  const std::pair<const char*, const char*> cases[] = {
      {"{{ 'abd' in t }}{{ '' in t }}{{ 'x' in t }}", "TrueTrueFalse"},
      {"{{ t.find('abd') }} {{ t.rfind('abd') }} {{ t.find('abd', 7) }}", "6 14 14"},
      {"{{ t.rfind('abd', 0, 12) }} {{ t.rfind('') }} {{ t.rfind('zz') }}", "6 17 -1"},
      {"{{ t.count('ab') }} {{ t.count('') }} {{ t.count('ab', 1) }}", "5 18 4"},
      {"{{ t.split('ab') }}", "['', 'c', 'c', 'dé ', 'c', 'd']"},
      {"{{ t.rsplit('ab', 2) }}", "['abcabcabdé ', 'c', 'd']"},
      {"{{ t.rpartition('abc') }}", "('abcabcabdé ', 'abc', 'abd')"},
      {"{{ t.partition('abd') }}", "('abcabc', 'abd', 'é abcabd')"},
      {"{{ ('aaa').rsplit('aa') }}{{ 'aaa'.split('aa') }}", "['a', '']['', 'a']"},
      {"{{ t.replace('ab', '-', 2) }}{{ u.replace('', '.') }}", "-c-cabdé abcabd.a.b."},
      {"{{ ('x' * 3000000 ~ 'needle' ~ 'y' * 5).find('needle') }}", "3000000"},
      {"{{ ('x' * 1048574 ~ 'abc').find('abc') }}", "1048574"},
  };
  for (const auto& [source, expected] : cases) {
    const Outcome outcome = Render(source, {}, context);
    EXPECT_EQ(outcome.text, expected) << source << (outcome.error ? outcome.error->message() : "");
  }
}

// What takes n of a bound is let through with n, and refused with n - 1.
TEST(Budget, StepsAndBytesAreBoundsToTheUnit) {
  for (const char* source : {"{% for i in range(20) %}{{ [i, 'a' * i] | tojson }}{% endfor %}",
                             "{{ 1 }}", "{{ ('ab' * 100) | upper | list | join('-') }}"}) {
    const RenderCost cost = Render(source).cost;
    RenderOptions options;
    options.steps_max = cost.steps;
    options.bytes_max = cost.bytes;
    EXPECT_FALSE(Render(source, options).error) << source;
    options.steps_max = cost.steps - 1;
    EXPECT_TRUE(IsExhausted(Render(source, options))) << source;
    options.steps_max = cost.steps + 1;
    EXPECT_FALSE(Render(source, options).error) << source;
    options.bytes_max = cost.bytes - 1;
    EXPECT_TRUE(IsExhausted(Render(source, options))) << source;
    options.bytes_max = cost.bytes + 1;
    EXPECT_FALSE(Render(source, options).error) << source;
  }
}

// Texts grow in many ways, each by small pieces: 20 bytes in all.
TEST(Budget, TheLongestTextIsABoundToTheByte) {
  for (const char* source :
       {"{% for i in range(10) %}ab{% endfor %}", "{% for i in range(10) %}{{ 'ab' }}{% endfor %}",
        "{% set x %}{% for i in range(10) %}ab{% endfor %}{% endset %}{{ x | length }}",
        "{% macro m() %}{% for i in range(10) %}ab{% endfor %}{% endmacro %}{{ m() | length }}",
        "{% filter length %}{% for i in range(10) %}ab{% endfor %}{% endfilter %}",
        "{{ ('a' ~ 'b' ~ 'abcdefgh' ~ 'abcdefghij') | length }}",
        "{{ (['ab'] * 10) | join | length }}", "{{ ('ab' * 10) | length }}",
        "{{ 'a' | center(20) | length }}", "{{ 'aaaa'.replace('a', 'bbbbb') | length }}",
        "{{ ['aaaaaaaaaaaaaaaa'] | string | length }}",
        "{{ 'aaaaaaaaaaaaaaaaaa' | tojson | length }}", "{{ '%20d' % 1 | string | length }}",
        "{{ '{:20}'.format(1) | length }}", "{{ '&&&&' | e | length }}",
        "{{ '\t\t'.expandtabs(10) | length }}"}) {
    RenderOptions options;
    options.text_bytes_max = 20;
    const Outcome at = Render(source, options);
    EXPECT_FALSE(at.error) << source << at.error->message();
    options.text_bytes_max = 21;
    EXPECT_FALSE(Render(source, options).error) << source;
    options.text_bytes_max = 19;
    EXPECT_TRUE(IsExhausted(Render(source, options))) << source;
  }
}

// `source` with every @ as `size`: taken up to `bound`, refused beyond.
void ExpectBound(const std::string& source, int64_t bound, RenderOptions options = {}) {
  for (const int64_t size : {bound - 1, bound, bound + 1}) {
    std::string filled;
    for (const char c : source) filled += c == '@' ? std::to_string(size) : std::string(1, c);
    const Outcome outcome = Render(filled, options);
    if (size <= bound) {
      EXPECT_FALSE(outcome.error) << filled << ": " << outcome.error->message();
    } else {
      EXPECT_TRUE(IsExhausted(outcome)) << filled;
    }
  }
}

TEST(Budget, NamedBoundsAtBelowAndAbove) {
  const auto items = static_cast<int64_t>(kRenderItemsMax);
  ExpectBound("{{ ([0] * @) | length }}", items);
  ExpectBound("{{ ((0,) * @) | length }}", items);
  RenderOptions more_bytes;
  more_bytes.bytes_max = 1 << 30;
  ExpectBound("{{ ('a' * @) | list | length }}", items, more_bytes);
  ExpectBound("{{ ('a\n' * @).splitlines() | length }}", items, more_bytes);
  ExpectBound("{{ range(5) | batch(@, 'x') | list | length }}", items);
  ExpectBound("{{ range(5) | slice(@) | length }}", items);
  ExpectBound("{{ ([0] * 100 + [0] * (@ - 100)) | length }}", items);
  ExpectBound("{{ range(@) | length }}", kRenderRangeLengthMax);
  ExpectBound("{{ '%@d' % 1 | string | length }}", 10'000);
  ExpectBound("{{ '{:.@f}'.format(1) | length }}", 10'000);
  ExpectBound("{{ [1] | tojson(indent=@) | length }}", 64);
  ExpectBound(
      "{% set n = namespace(x=[1]) %}{% for i in range(@ - 1) %}{% set n.x = [n.x] %}{% endfor %}",
      kRenderValueDepthMax);
  RenderOptions clock;
  clock.clock = std::chrono::local_seconds{};
  ExpectBound("{{ strftime_now('a' * @) | length }}", 1024, clock);
  EXPECT_EQ(Render("{{ 0.1 | round(300) }}{{ 0.1 | round(301) }}").text, "0.10.1");
}

TEST(Budget, BoundsOfParsingAtBelowAndAbove) {
  const auto source_bytes = static_cast<int64_t>(kTemplateSourceBytesMax);
  for (const int64_t over : {-1, 0, 1}) {
    const auto size = [&](int64_t bound) { return static_cast<size_t>(bound + over); };
    const bool is_over = over > 0;
    EXPECT_EQ(IsExhausted(Render(std::string(size(source_bytes), 'a'))), is_over);
    // 1 + 1 + ...: n additions are a tree of n + 1 levels.
    EXPECT_EQ(
        IsExhausted(Render("{{ 1" + Repeated("+1", size(kTemplateExpressionDepthMax - 1)) + " }}")),
        is_over);
    // The body of the template and of each block in it, and the condition of the innermost.
    EXPECT_EQ(IsExhausted(Render(Repeated("{% if 1 %}", size(kTemplateParseDepthMax - 2)) +
                                 Repeated("{% endif %}", size(kTemplateParseDepthMax - 2)))),
              is_over);
  }
}

TEST(Budget, ManyNamesAreParsedInLinearTime) {
  std::string parameters, arguments, sets;
  for (int i = 0; i < 60'000; ++i) {
    parameters += fmt::format("{}a{}", i == 0 ? "" : ",", i);
    arguments += fmt::format("{}a{}=1", i == 0 ? "" : ",", i);
    if (i < 40'000) sets += fmt::format("{{% set a{}=1%}}", i);
  }
  const double begin = CpuSeconds();
  Template::Parse("{% macro m(" + parameters + ") %}{% endmacro %}", "t");
  Template::Parse("{{ m(" + arguments + ") }}", "t");
  RenderOptions options;
  options.steps_max = 2'000'000;
  EXPECT_TRUE(IsExhausted(
      Render("{% macro m(" + parameters + ") %}{% endmacro %}" + Forever("{{ m() }}"), options)));
  EXPECT_TRUE(IsExhausted(Render(sets + Forever("{{ a39999 }}"), options)));
  EXPECT_TRUE(Render("{{ 1 | " + std::string(900'000, 'x') + " }}", options).error);
  EXPECT_TRUE(Render("{{ [1] | map('x' * 60000000) | list }}").error);
  EXPECT_LT(CpuSeconds() - begin, 10);
}

TEST(Budget, MessagesAreCut) {
  const Outcome outcome = Render("{{ raise_exception('é' * 1000000) }}");
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code(), ErrorCode::kInvalid);
  EXPECT_THAT(outcome.error->message(), HasSubstr("é... (2000000 bytes)"));
  EXPECT_LT(outcome.error->message().size(), kRenderMessageBytesMax + 100);
  const std::string at(kRenderMessageBytesMax, 'x');
  EXPECT_EQ(Render("{{ raise_exception('" + at + "') }}").error->message(), "t:1: " + at);
  EXPECT_THAT(Render("{{ raise_exception('x" + at + "') }}").error->message(), HasSubstr("..."));
}

TEST(Budget, AStopEndsARenderAtOnce) {
  for (const std::string& source :
       {kForever, kShared + "{{ s.x }}", Forever("{{ 'a' * 60000000 ~ 'b' in 'a' * 60000000 }}"),
        Forever("{{ ('a' * 60000000) | upper }}"), Forever("{{ range(100000) | list }}")}) {
    SCOPED_TRACE(source.substr(0, 200));
    std::stop_source stop;
    RenderOptions options;
    options.steps_max = UINT64_MAX;
    options.bytes_max = UINT64_MAX;
    options.stop = stop.get_token();
    std::chrono::steady_clock::time_point asked;
    std::thread asker([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      asked = std::chrono::steady_clock::now();
      stop.request_stop();
    });
    const Outcome outcome = Render(source, options);
    const auto ended = std::chrono::steady_clock::now();
    asker.join();
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(outcome.error->code(), ErrorCode::kCancelled) << outcome.error->message();
    EXPECT_LT(ended - asked, std::chrono::seconds(1));
  }
}

TEST(Budget, AChatRequestCanBeStopped) {
  std::stop_source stop;
  ChatRequest request;
  request.messages.push_back({{"role", "user"}, {"content", "hi"}});
  request.stop = stop.get_token();
  const auto chat = ChatTemplate::Parse("{{ messages[0].content }}", "", "", "t");
  EXPECT_EQ(PlainText(chat.Render(request)), "hi");
  stop.request_stop();
  try {
    chat.Render(request);
    FAIL() << "rendered";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

// Loading a model tries its template, and is not to wait for one that never ends.
TEST(Budget, TryingATemplateTakesAFractionOfABudget) {
  const double begin = CpuSeconds();
  const auto chat = ChatTemplate::Parse(kForever, "", "", "t");
  EXPECT_EQ(chat.content_shape(), ContentShape::kString);
  EXPECT_LT(CpuSeconds() - begin, 2);
}

// Templates that go over all messages for each message, or over every character: of shorter ones.
constexpr std::string_view kSlowTemplates[] = {"google-gemma-4-31B-it.jinja",
                                               "llama3.2-vision-90b.jinja"};

Json Conversation(int num_messages) {
  Json context = Json::object();
  Json& messages = context["messages"] = Json::array();
  const std::string text = Repeated("Words of a message. ", 50);
  for (int i = 0; i < num_messages; ++i) {
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", text}});
  }
  context["add_generation_prompt"] = true;
  context["bos_token"] = "<s>";
  context["eos_token"] = "</s>";
  return context;
}

// 10,000 messages of 1 KB.
TEST(Budget, LeavesRoomForLongConversations) {
  const auto folder = SharedData() / "chat-templates" / "templates";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no chat-templates in " << SharedData();
  const Json long_one = Conversation(10'000);
  const Json short_one = Conversation(1'000);
  RenderOptions options;
  options.clock = std::chrono::local_seconds{};
  int num_rendered = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    SCOPED_TRACE(entry.path().string());
    std::string source = ReadFile(entry.path(), 1 << 20);
    std::optional<Template> parsed;
    try {
      parsed = Template::Parse(source, "t");
    } catch (const Error&) {
      continue;
    }
    try {
      const bool is_slow = std::count(std::begin(kSlowTemplates), std::end(kSlowTemplates),
                                      entry.path().filename().string()) > 0;
      const auto spans = parsed->Render(is_slow ? short_one : long_one, options);
      num_rendered += PlainText(spans).size() > 900'000 ? 1 : 0;
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kExhausted) << error.message();
    }
  }
  EXPECT_GT(num_rendered, 80);
}

}  // namespace
}  // namespace retort
