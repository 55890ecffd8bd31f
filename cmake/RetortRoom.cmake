# retort_room(NAME DIR [MAY_INCLUDE room...] [LIBS lib...])
#
# One static library per room, from every DIR/*.cc that is not a test, a benchmark or a fuzzer; one
# test binary per room from DIR/*_test.cc. A room named in MAY_INCLUDE must already exist, so the
# room graph is acyclic by construction. The tidy test checks the same rule over #include lines.

add_library(retort_flags INTERFACE)
target_include_directories(retort_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_compile_options(retort_flags INTERFACE -Wall -Wextra -Wpedantic -Werror=return-type
  -fno-math-errno -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overflows inside std::string that are not there (GCC bugs 105329, 105651), and takes
  # its AVX-512 headers' undefined vectors for mistakes (105593). clang-tidy looks for real ones.
  target_compile_options(retort_flags INTERFACE -Wno-array-bounds -Wno-restrict
    -Wno-stringop-overflow -Wno-uninitialized)
endif()
if(RETORT_SANITIZE)
  target_compile_options(retort_flags INTERFACE -fsanitize=${RETORT_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=undefined)
  target_link_options(retort_flags INTERFACE -fsanitize=${RETORT_SANITIZE})
endif()

# Headers that most files read, parsed once: they are half of the build's time otherwise.
function(retort_precompile target)
  if(target STREQUAL retort_base)
    target_precompile_headers(${target} PRIVATE
      <fmt/format.h> <functional> <memory> <nlohmann/json.hpp> <optional> <string> <vector>)
  else()
    target_precompile_headers(${target} REUSE_FROM retort_base)
  endif()
endfunction()

# A test binary's own code is compiled once and run once: -O1 is the least of both.
function(retort_test_options target)
  target_compile_definitions(${target} PRIVATE RETORT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_compile_options(${target} PRIVATE -O1)
endfunction()

# What every test binary links: main(), and the headers all of them read, parsed once.
if(RETORT_TESTS)
  add_library(retort_test_main STATIC ${PROJECT_SOURCE_DIR}/tests/main.cc)
  target_link_libraries(retort_test_main PUBLIC retort_base GTest::gmock)
  retort_test_options(retort_test_main)
  target_precompile_headers(retort_test_main PRIVATE
    <fmt/format.h> <functional> <gmock/gmock.h> <gtest/gtest.h> <memory> <nlohmann/json.hpp>
    <optional> <string> <vector>)
endif()

# retort_test_binary(TARGET SOURCES source... LIBS lib...)
function(retort_test_binary target)
  cmake_parse_arguments(BINARY "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${target} ${BINARY_SOURCES})
  target_link_libraries(${target} PRIVATE ${BINARY_LIBS} retort_test_main)
  retort_test_options(${target})
  target_precompile_headers(${target} REUSE_FROM retort_test_main)
endfunction()

function(retort_room name dir)
  cmake_parse_arguments(ROOM "" "" "MAY_INCLUDE;LIBS" ${ARGN})
  file(GLOB all CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/*.cc)
  file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/*.h)
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(fuzzers ${all})
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "(_(test|bench|fuzz)|/main)\\.cc$")

  set(dependencies "")
  foreach(room IN LISTS ROOM_MAY_INCLUDE)
    if(NOT TARGET retort_${room})
      message(FATAL_ERROR "room '${name}' may include '${room}', which is not defined before it")
    endif()
    list(APPEND dependencies retort_${room})
  endforeach()

  if(sources)
    add_library(retort_${name} STATIC ${sources})
    target_link_libraries(retort_${name} PUBLIC retort_flags ${dependencies} ${ROOM_LIBS})
    retort_precompile(retort_${name})
  else()
    add_library(retort_${name} INTERFACE)
    target_link_libraries(retort_${name} INTERFACE retort_flags ${dependencies} ${ROOM_LIBS})
  endif()

  if(RETORT_TESTS AND tests)
    retort_test_binary(${name}_test SOURCES ${tests} LIBS retort_${name})
    gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST
      PROPERTIES TIMEOUT 600)
  endif()

  if(RETORT_BENCHMARKS)
    set(benchmarks ${all})
    list(FILTER benchmarks INCLUDE REGEX "_bench\\.cc$")
    foreach(source IN LISTS benchmarks)
      get_filename_component(bench ${source} NAME_WE)
      add_executable(${bench} ${source})
      target_link_libraries(${bench} PRIVATE retort_${name} benchmark::benchmark)
    endforeach()
  endif()

  if(RETORT_FUZZERS)
    foreach(source IN LISTS fuzzers)
      get_filename_component(fuzzer ${source} NAME_WE)
      add_executable(${fuzzer} ${source})
      target_link_libraries(${fuzzer} PRIVATE retort_${name})
      target_link_options(${fuzzer} PRIVATE -fsanitize=fuzzer)
    endforeach()
  endif()
endfunction()
