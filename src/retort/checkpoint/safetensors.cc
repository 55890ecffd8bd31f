#include "retort/checkpoint/safetensors.h"

#include <algorithm>
#include <array>

#include "retort/base/error.h"
#include "retort/tensor/float_bits.h"

namespace retort {
namespace {

struct Dtype {
  std::string_view name;
  Format format;
  int bits;
};

// Every dtype of the format (safetensors 0.6). What has no Format is listed and refused when used.
constexpr std::array<Dtype, 22> kDtypes = {{
    {"F32", Format::kF32, 32},
    {"F16", Format::kF16, 16},
    {"BF16", Format::kBF16, 16},
    {"F64", Format::kF64, 64},
    {"F8_E4M3", Format::kF8E4M3, 8},
    {"F8_E5M2", Format::kF8E5M2, 8},
    {"I8", Format::kI8, 8},
    {"U8", Format::kU8, 8},
    {"I16", Format::kI16, 16},
    {"U16", Format::kU16, 16},
    {"I32", Format::kI32, 32},
    {"U32", Format::kU32, 32},
    {"I64", Format::kI64, 64},
    {"U64", Format::kU64, 64},
    {"BOOL", Format::kBool, 8},
    {"F8_E8M0", Format::kUnsupported, 8},
    {"F8_E4M3FNUZ", Format::kUnsupported, 8},
    {"F8_E5M2FNUZ", Format::kUnsupported, 8},
    {"C64", Format::kUnsupported, 64},
    {"F4", Format::kUnsupported, 4},
    {"F6_E2M3", Format::kUnsupported, 6},
    {"F6_E3M2", Format::kUnsupported, 6},
}};

class SafetensorsParser {
 public:
  SafetensorsParser(std::span<const std::byte> bytes, std::string_view origin)
      : bytes_(bytes), origin_(origin) {}

  WeightFile Parse() {
    const Json header = ParseHeader();
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        AddMetadata(entry);
      } else {
        AddTensor(name, entry);
      }
    }
    PlaceTensors();
    return std::move(file_);
  }

 private:
  struct Extent {
    TensorView tensor;
    uint64_t begin;
    uint64_t end;
  };

  template <typename... Args>
  [[noreturn]] void Refuse(fmt::format_string<Args...> format, Args&&... args) const {
    Throw(ErrorCode::kCorrupt, "safetensors file '{}': {}", origin_,
          fmt::format(format, std::forward<Args>(args)...));
  }

  Json ParseHeader() {
    if (bytes_.size() < 8) Refuse("expected at least 8 bytes, found {}", bytes_.size());
    const auto header_bytes = LoadAs<uint64_t>(bytes_.data());
    if (header_bytes > kSafetensorsHeaderBytesMax) {
      Refuse("the header says it has {} bytes; at most {} are allowed", header_bytes,
             kSafetensorsHeaderBytesMax);
    }
    if (header_bytes > bytes_.size() - 8) {
      Refuse("the header says it has {} bytes, but only {} follow (is the file cut off?)",
             header_bytes, bytes_.size() - 8);
    }
    const auto* text = reinterpret_cast<const char*>(bytes_.data() + 8);
    data_ = bytes_.subspan(8 + static_cast<size_t>(header_bytes));
    Json header;
    try {
      header = ParseJson({text, static_cast<size_t>(header_bytes)}, "header");
    } catch (const Error& error) {
      Refuse("{}", error.message());
    }
    if (!header.is_object())
      Refuse("the header must be a JSON object, found {}", header.type_name());
    return header;
  }

  void AddMetadata(const Json& entry) {
    if (!entry.is_object())
      Refuse("\"__metadata__\" must be an object, found {}", entry.type_name());
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) {
        Refuse("\"__metadata__\" holds strings only; \"{}\" is {}", key, value.type_name());
      }
    }
    file_.metadata = entry;
  }

  void AddTensor(const std::string& name, const Json& entry) {
    if (!entry.is_object())
      Refuse("tensor '{}' must be an object, found {}", name, entry.type_name());
    const Json* dtype_json = nullptr;
    const Json* shape_json = nullptr;
    const Json* offsets_json = nullptr;
    for (const auto& [key, value] : entry.items()) {
      if (key == "dtype") {
        dtype_json = &value;
      } else if (key == "shape") {
        shape_json = &value;
      } else if (key == "data_offsets") {
        offsets_json = &value;
      } else {
        Refuse("tensor '{}' has the unknown member \"{}\"", name, key);
      }
    }
    if (dtype_json == nullptr || shape_json == nullptr || offsets_json == nullptr) {
      Refuse("tensor '{}' needs \"dtype\", \"shape\" and \"data_offsets\"", name);
    }
    const Dtype& dtype = ReadDtype(name, *dtype_json);
    const Shape shape = ReadShape(name, *shape_json);
    const auto offsets = ReadIntegers(name, "data_offsets", *offsets_json, 2);
    if (offsets.size() != 2) Refuse("tensor '{}': data_offsets needs 2 numbers", name);
    const auto begin = static_cast<uint64_t>(offsets[0]);
    const auto end = static_cast<uint64_t>(offsets[1]);
    if (begin > end || end > data_.size()) {
      Refuse("tensor '{}': data_offsets [{}, {}] are outside the {} bytes of data", name, begin,
             end, data_.size());
    }
    const uint64_t expected = StoredSize(name, dtype, shape);
    if (end - begin != expected) {
      Refuse("tensor '{}': {} {} needs {} bytes, data_offsets [{}, {}] give {}", name, dtype.name,
             shape.ToString(), expected, begin, end, end - begin);
    }
    file_.names.push_back(name);
    extents_.push_back(
        {{file_.names.back(), dtype.format, shape,
          data_.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), dtype.name},
         begin,
         end});
  }

  const Dtype& ReadDtype(const std::string& name, const Json& value) const {
    if (!value.is_string()) Refuse("tensor '{}': dtype must be a string", name);
    const auto& text = value.get_ref<const std::string&>();
    const auto* dtype = std::find_if(kDtypes.begin(), kDtypes.end(),
                                     [&](const Dtype& known) { return known.name == text; });
    if (dtype == kDtypes.end()) Refuse("tensor '{}': unknown dtype \"{}\"", name, text);
    return *dtype;
  }

  Shape ReadShape(const std::string& name, const Json& value) const {
    return Shape(ReadIntegers(name, "shape", value, Shape::kRankMax));
  }

  std::vector<int64_t> ReadIntegers(const std::string& name, std::string_view member,
                                    const Json& value, size_t count_max) const {
    if (!value.is_array()) Refuse("tensor '{}': {} must be an array", name, member);
    if (value.size() > count_max) {
      Refuse("tensor '{}': {} has {} numbers; at most {} are allowed", name, member, value.size(),
             count_max);
    }
    std::vector<int64_t> numbers;
    for (const Json& item : value) {
      // The JSON reader gives every non-negative integer below 2^64 as unsigned.
      if (!item.is_number_unsigned() || item.get<uint64_t>() > INT64_MAX) {
        Refuse("tensor '{}': {} must hold integers from 0 to 2^63 - 1, found {}", name, member,
               DumpJson(item));
      }
      numbers.push_back(static_cast<int64_t>(item.get<uint64_t>()));
    }
    return numbers;
  }

  uint64_t StoredSize(const std::string& name, const Dtype& dtype, const Shape& shape) const {
    int64_t bits = 0;
    try {
      if (__builtin_mul_overflow(shape.NumValues(), dtype.bits, &bits)) {
        Refuse("tensor '{}': {} {} is larger than 2^63 bits", name, dtype.name, shape.ToString());
      }
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCorrupt) throw;
      Refuse("tensor '{}': {}", name, error.message());
    }
    if (bits % 8 != 0) {
      Refuse("tensor '{}': {} {} is no whole number of bytes", name, dtype.name, shape.ToString());
    }
    return static_cast<uint64_t>(bits) / 8;
  }

  // Sorted by offset, the tensors must cover the data exactly, once.
  void PlaceTensors() {
    std::sort(extents_.begin(), extents_.end(), [](const Extent& a, const Extent& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    uint64_t covered = 0;
    for (const Extent& extent : extents_) {
      if (extent.begin != covered) {
        Refuse("tensor '{}' begins at byte {} of the data, expected {} ({})", extent.tensor.name,
               extent.begin, covered, extent.begin > covered ? "a hole" : "an overlap");
      }
      covered = extent.end;
      file_.tensors.push_back(extent.tensor);
    }
    if (covered != data_.size()) {
      Refuse("the tensors end at byte {} of the data, the file at {}", covered, data_.size());
    }
  }

  std::span<const std::byte> bytes_;
  std::string_view origin_;
  std::span<const std::byte> data_;
  std::vector<Extent> extents_;
  WeightFile file_;
};

}  // namespace

WeightFile ParseSafetensors(std::span<const std::byte> bytes, std::string_view origin) {
  return SafetensorsParser(bytes, origin).Parse();
}

}  // namespace retort
