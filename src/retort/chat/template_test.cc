#include "retort/chat/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "retort/base/error.h"

namespace retort {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string Repeated(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

Error ErrorOf(const std::string& source, const Json& context = Json::object(),
              const RenderOptions& options = {}) {
  try {
    PlainText(Template::Parse(source, "t.jinja").Render(context, options));
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kInternal, "no error");
}

TEST(Template, EveryBoundEndsInAnError) {
  const std::string deep = Repeated("(", 100'000);
  const std::string sources[] = {
      std::string(kTemplateSourceBytesMax + 1, 'a'),
      "{{ " + deep,
      "{{ " + Repeated("[", 100'000),
      "{{ " + Repeated("not ", 100'000) + "x }}",
      "{{ " + Repeated("-", 100'000) + "1 }}",
      "{{ x" + Repeated(".a", 100'000) + " }}",
      "{{ x" + Repeated("|trim", 100'000) + " }}",
      "{{ 1" + Repeated("+1", 100'000) + " }}",
      "{{ 1" + Repeated(" if 1 else 1", 50'000) + " }}",
      Repeated("{% if 1 %}", 50'000),
      Repeated("{% for x in y %}", 50'000),
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      "{% set n = namespace(x=[]) %}{% for i in range(10000) %}{% set n.x = [n.x] %}{% endfor %}",
      "{% set n = namespace(x=[1]) %}{% for i in range(10000) %}"
      "{% set n.x = n.x | map('abs') %}{% endfor %}",
      "{% set n = namespace(x='ab') %}{% for i in range(100) %}"
      "{% set n.x = n.x ~ n.x %}{% endfor %}",
      "{% set n = namespace(x=[1]) %}{% for i in range(100) %}"
      "{% set n.x = n.x + n.x %}{% endfor %}",
      "{{ 'a' * 1000000000000 }}",
      "{{ [0] * 1000000000000 }}",
      "{{ 'a'.center(1000000000000) }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ 'ab'.replace('', 'x' * 60000000) }}",
      "{{ range(100001) }}",
      "{{ range(0, 9223372036854775807) }}",
      "{{ 9223372036854775807 + 1 }}",
      "{{ 2 ** 64 }}",
      "{{ -9223372036854775807 - 2 }}",
      "{{ '99999999999999999999' | int }}",
  };
  RenderOptions options;
  options.steps_max = 2'000'000;  // the default takes seconds to use up
  for (const std::string& source : sources) {
    const Error error = ErrorOf(source, Json::object(), options);
    EXPECT_EQ(error.code(), ErrorCode::kExhausted) << source.substr(0, 80) << error.message();
  }
}

TEST(Template, TheContextIsBoundedToo) {
  Json deep = Json::array();
  for (int i = 0; i < 1000; ++i) deep = Json::array({std::move(deep)});
  Json context = Json::object();
  context["x"] = std::move(deep);
  EXPECT_EQ(ErrorOf("{{ x }}", context).code(), ErrorCode::kExhausted);
  EXPECT_EQ(ErrorOf("{{ x }}", Json::array()).code(), ErrorCode::kInvalid);
  context["x"] = std::string("a\xFF\xC3(");  // not UTF-8: passed through, never a crash
  const auto spans = Template::Parse("{{ x | upper }}{{ x[::-1] | length }}", "t").Render(context);
  EXPECT_EQ(PlainText(spans), "A\xFF\xC3(4");
}

TEST(Template, KnotsOfReferencesAreFreed) {  // the leak checker of an asan build sees the rest
  for (const char* source :
       {"{% set n = namespace() %}{% set n.n = n %}",
        "{% set n = namespace() %}{% macro m() %}{{ n }}{% endmacro %}{% set n.m = m %}",
        "{% macro m() %}{% macro k() %}{% endmacro %}{% endmacro %}{{ m() }}",
        "{% set n = namespace() %}{% for x in [1] %}{% set n.l = loop %}{% set n.c = loop.cycle %}"
        "{% if loop.changed(n) %}{% endif %}{% endfor %}",
        "{% set n = namespace() %}{% for x in [1] if n %}{% set n.l = loop %}{% endfor %}",
        "{% set n = namespace() %}{% for x in [1] recursive %}{% set n.l = loop %}{% endfor %}",
        "{% set n = namespace() %}{% set n.g = [n] | map('string') %}",
        "{% set n = namespace() %}{% set n.c = cycler(n) %}{% set n.d = n.c.next %}"}) {
    EXPECT_EQ(PlainText(Template::Parse(source, "t").Render(Json::object())), "") << source;
  }
}

TEST(Template, AMacroAndItsParametersAreSingleNames) {
  for (const char* source :
       {"{% macro (a,b)() %}{% endmacro %}", "{% macro (a)(b) %}{% endmacro %}",
        "{% macro m((a)) %}{% endmacro %}", "{% macro m((a,b)) %}{% endmacro %}",
        "{% macro m(x, (a,b)) %}{% endmacro %}", "{% call((a,b)) m() %}{% endcall %}",
        "{% macro a.b() %}{% endmacro %}", "{% macro m(a.b) %}{% endmacro %}"}) {
    EXPECT_EQ(ErrorOf(source).code(), ErrorCode::kInvalid) << source;
  }
}

TEST(Template, ErrorsNameOriginAndLine) {
  EXPECT_EQ(ErrorOf("a\n{{ 1 + }}").message(), "t.jinja:2: unexpected end of print statement");
  // Not the line of the macro that was called before.
  EXPECT_THAT(ErrorOf("{% macro m() %}\n\nx{% endmacro %}\n\n{{ -m() }}").message(),
              StartsWith("t.jinja:5: "));
  EXPECT_EQ(ErrorOf("a\n\n{{ x.y }}").message(), "t.jinja:3: 'x' is undefined");
  EXPECT_EQ(ErrorOf("{{ 'a' + [] }}").message(),
            "t.jinja:1: can only concatenate str (not \"list\") to str");
  EXPECT_THAT(ErrorOf("{{ x | uper }}").message(), HasSubstr("did you mean 'upper'?"));
  EXPECT_THAT(ErrorOf("{{ x is defned }}").message(), HasSubstr("did you mean 'defined'?"));
  EXPECT_EQ(ErrorOf("\xFF").code(), ErrorCode::kInvalid);
  for (const char* tag : {"include 'a'", "import 'a' as b", "from 'a' import b", "extends 'a'",
                          "block b", "autoescape true"}) {
    const Error error = ErrorOf("\n{% " + std::string(tag) + " %}");
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << tag;
    EXPECT_THAT(error.message(), HasSubstr("t.jinja:2:"));
  }
}

TEST(Template, PromptsKeepTheirText) {
  const std::string source = "  {% if 1 %}\n  a\n  {% endif %}\n";
  EXPECT_EQ(
      PlainText(Template::Parse(source, "t", TemplateOptions::ForPrompt()).Render(Json::object())),
      "  \n  a\n  \n");
  EXPECT_EQ(PlainText(Template::Parse(source, "t").Render(Json::object())), "  a\n");
}

TEST(Template, NamesTheColumnsItNeeds) {
  const Template parsed = Template::Parse(
      "{% set a = b %}{{ a }}{% for c in d %}{{ c.e[f] }}{{ loop.index }}{% endfor %}"
      "{% macro g(h, i=j) %}{{ h }}{% endmacro %}{{ g(k) | default(l) }}",
      "t");
  EXPECT_THAT(parsed.free_names(), testing::ElementsAre("b", "d", "f", "j", "k", "l"));
}

TEST(Template, OneTemplateServesManyThreads) {
  const Template parsed = Template::Parse(
      "{% set n = namespace(s='') %}{% for i in range(50) %}{% set n.s = n.s ~ x %}{% endfor %}"
      "{{ n.s }}",
      "t");
  std::vector<std::thread> threads;
  std::vector<std::string> texts(4);
  for (size_t i = 0; i < texts.size(); ++i) {
    threads.emplace_back([&, i] {
      Json context = Json::object();
      context["x"] = std::to_string(i);
      texts[i] = PlainText(parsed.Render(context));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(texts[i], Repeated(std::to_string(i), 50));
}

TEST(Template, ClockInManyForms) {
  RenderOptions options;
  options.clock = std::chrono::local_days(std::chrono::year(2026) / 7 / 26) +
                  std::chrono::seconds(12 * 3600 + 34 * 60 + 56);
  const auto render = [&](const std::string& format) {
    return PlainText(Template::Parse("{{ strftime_now('" + format + "') }}", "t")
                         .Render(Json::object(), options));
  };
  // What Python's datetime(2026, 7, 26, 12, 34, 56).strftime says.
  EXPECT_EQ(render("%a %A %b %B %d %e %H %I %j %m %M %p %S %U %w %W %y %Y %%"),
            "Sun Sunday Jul July 26 26 12 12 207 07 34 PM 56 30 0 29 26 2026 %");
  EXPECT_EQ(render("%c|%x|%X|%D|%F|%T|%R|%G-W%V-%u|%-d|%-m|%z%Z|%f"),
            "Sun Jul 26 12:34:56 2026|07/26/26|12:34:56|07/26/26|2026-07-26|12:34:56|12:34|"
            "2026-W30-7|26|7||000000");
}

}  // namespace
}  // namespace retort
