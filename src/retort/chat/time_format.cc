// strftime in the C locale, without the C library's global state.
#include <array>

#include "retort/chat/formatting.h"

namespace retort::jinja {
namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};

struct Civil {
  int year, month, day, hour, minute, second;
  int weekday;   // 0 is Sunday
  int year_day;  // 0 is 1 January
};

Civil ToCivil(std::chrono::local_seconds time) {
  const auto days = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(days);
  const auto new_year = std::chrono::local_days(date.year() / std::chrono::January / 1);
  const auto seconds = static_cast<int>((time - days).count());
  return {static_cast<int>(date.year()),
          static_cast<int>(static_cast<unsigned>(date.month())),
          static_cast<int>(static_cast<unsigned>(date.day())),
          seconds / 3600,
          seconds / 60 % 60,
          seconds % 60,
          static_cast<int>(std::chrono::weekday(days).c_encoding()),
          static_cast<int>((days - new_year).count())};
}

bool IsLeap(int year) { return std::chrono::year(year).is_leap(); }

// ISO 8601 week number and its year.
std::pair<int, int> IsoWeek(const Civil& t) {
  const int monday_based = (t.weekday + 6) % 7;
  int week = (t.year_day - monday_based + 10) / 7;
  int year = t.year;
  const auto weeks_in = [](int y) {
    const auto jan1 = std::chrono::weekday(
        std::chrono::local_days(std::chrono::year(y) / std::chrono::January / 1));
    const unsigned day = jan1.c_encoding();
    return day == 4 || (day == 3 && IsLeap(y)) ? 53 : 52;
  };
  if (week < 1) {
    week = weeks_in(--year);
  } else if (week > weeks_in(year)) {
    week = 1;
    ++year;
  }
  return {year, week};
}

// `padding`: '0', ' ' or '-' for none, as a flag in the format may say.
std::string Number(int value, int width, char padding, char flag) {
  if (flag == '-') return std::to_string(value);
  if (flag == '_') padding = ' ';
  if (flag == '0') padding = '0';
  std::string digits = std::to_string(value);
  while (digits.size() < static_cast<size_t>(width)) digits.insert(0, 1, padding);
  return digits;
}

std::string Directive(const Civil& t, std::chrono::local_seconds time, char letter, char flag) {
  const auto weekday = static_cast<size_t>(t.weekday);
  const auto month = static_cast<size_t>(t.month - 1);
  const int hour12 = t.hour % 12 == 0 ? 12 : t.hour % 12;
  switch (letter) {
    case 'a':
      return std::string(kDays[weekday].substr(0, 3));
    case 'A':
      return std::string(kDays[weekday]);
    case 'b':
    case 'h':
      return std::string(kMonths[month].substr(0, 3));
    case 'B':
      return std::string(kMonths[month]);
    case 'c':
      return FormatTime(time, "%a %b %e %H:%M:%S %Y");
    case 'C':
      return Number(t.year / 100, 2, '0', flag);
    case 'd':
      return Number(t.day, 2, '0', flag);
    case 'D':
    case 'x':
      return FormatTime(time, "%m/%d/%y");
    case 'e':
      return Number(t.day, 2, ' ', flag);
    case 'f':
      return "000000";
    case 'F':
      return FormatTime(time, "%Y-%m-%d");
    case 'g':
      return Number(IsoWeek(t).first % 100, 2, '0', flag);
    case 'G':
      return Number(IsoWeek(t).first, 1, '0', flag);
    case 'H':
      return Number(t.hour, 2, '0', flag);
    case 'I':
      return Number(hour12, 2, '0', flag);
    case 'j':
      return Number(t.year_day + 1, 3, '0', flag);
    case 'k':
      return Number(t.hour, 2, ' ', flag);
    case 'l':
      return Number(hour12, 2, ' ', flag);
    case 'm':
      return Number(t.month, 2, '0', flag);
    case 'M':
      return Number(t.minute, 2, '0', flag);
    case 'n':
      return "\n";
    case 'p':
      return t.hour < 12 ? "AM" : "PM";
    case 'P':
      return t.hour < 12 ? "am" : "pm";
    case 'r':
      return FormatTime(time, "%I:%M:%S %p");
    case 'R':
      return FormatTime(time, "%H:%M");
    case 'S':
      return Number(t.second, 2, '0', flag);
    case 't':
      return "\t";
    case 'T':
    case 'X':
      return FormatTime(time, "%H:%M:%S");
    case 'u':
      return Number((t.weekday + 6) % 7 + 1, 1, '0', flag);
    case 'U':
      return Number((t.year_day + 7 - t.weekday) / 7, 2, '0', flag);
    case 'V':
      return Number(IsoWeek(t).second, 2, '0', flag);
    case 'w':
      return Number(t.weekday, 1, '0', flag);
    case 'W':
      return Number((t.year_day + 7 - (t.weekday + 6) % 7) / 7, 2, '0', flag);
    case 'y':
      return Number(t.year % 100, 2, '0', flag);
    case 'Y':
      return Number(t.year, 1, '0', flag);
    case 'z':
    case 'Z':
      return "";
    case '%':
      return "%";
    default:
      return std::string("%") + letter;
  }
}

}  // namespace

std::string FormatTime(std::chrono::local_seconds time, std::string_view format) {
  const Civil civil = ToCivil(time);
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    char flag = '\0';
    char letter = format[++i];
    if ((letter == '-' || letter == '_' || letter == '0') && i + 1 < format.size()) {
      flag = letter;
      letter = format[++i];
    }
    out += Directive(civil, time, letter, flag);
  }
  return out;
}

}  // namespace retort::jinja
