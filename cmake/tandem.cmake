# How every folder declares its targets.

add_library(tandem_options INTERFACE)
target_compile_options(tandem_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror
  $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers>)
target_include_directories(tandem_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(tandem_options INTERFACE TANDEM_VERSION="${PROJECT_VERSION}")
target_link_libraries(tandem_options INTERFACE Threads::Threads)
if(TANDEM_SANITIZE)
  # With sanitizers GCC 12 takes the standard library's own std::function for uninitialized.
  target_compile_options(tandem_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_compile_options(-fsanitize=${TANDEM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TANDEM_SANITIZE})
endif()
if(CMAKE_UNITY_BUILD)
  # What is private to one file looks as if it came from a header.
  target_compile_options(tandem_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
if(TANDEM_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# tandem_library(NAME SRCS … DEPS …): one folder's library. DEPS are public: whoever uses a header gets what it includes.
function(tandem_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(${name} STATIC ${ARG_SRCS})
    target_link_libraries(${name} PUBLIC tandem_options ${ARG_DEPS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE tandem_options ${ARG_DEPS})
  endif()
endfunction()

# tandem_binary(NAME SRCS … DEPS …): a program under build/bin/. Its own files are little but command lines, and CLI11
# takes the compiler long: they are optimised less. What computes stands in libraries.
function(tandem_binary name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  if(NOT TANDEM_SANITIZE)
    target_compile_options(${name} PRIVATE -O1)
  endif()
  target_link_libraries(${name} PRIVATE tandem_options ${ARG_DEPS})
  add_dependencies(plain_targets ${name})
endfunction()

# What the test command runs with sanitizers: each test that starts no other program and computes no campaign.
add_custom_target(in_process_tests)
# What it runs without: the programs, the tests that start them, campaigns.
add_custom_target(plain_targets)
# What the linter needs beside the sources.
add_custom_target(generated_sources)

# tandem_test(NAME SRCS … DEPS … [TIMEOUT seconds] [LABELS …] [PROPERTIES of CTest…] [OPTIMISED]): a GoogleTest program,
# one CTest case per test, with sanitizers one for all. Without LABELS it is `in-process`. Its own files are compiled
# without optimisation, in two thirds of the time, unless OPTIMISED says that they compute a lot.
function(tandem_test name)
  cmake_parse_arguments(ARG "OPTIMISED" "TIMEOUT" "SRCS;DEPS;LABELS;PROPERTIES" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${name} ${ARG_SRCS})
  if(NOT ARG_LABELS)
    set(ARG_LABELS in-process)
    add_dependencies(in_process_tests ${name})
  else()
    add_dependencies(plain_targets ${name})
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE tandem_options GTest::gmock GTest::gtest_main ${ARG_DEPS})
  if(NOT ARG_OPTIMISED)
    target_compile_options(${name} PRIVATE -O0)
  endif()
  if(TANDEM_SANITIZE)
    # Starting a program takes longer than most tests.
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 1200 LABELS "${ARG_LABELS}")
    return()
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${name}/"
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}" ${ARG_PROPERTIES})
endfunction()

# tandem_fuzzer(NAME SRCS … DEPS …): a libFuzzer target under build-fuzz/fuzz/.
function(tandem_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  if(TANDEM_FUZZ)
    add_executable(${name} ${ARG_SRCS})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
    target_link_libraries(${name} PRIVATE tandem_options ${ARG_DEPS} -fsanitize=fuzzer)
  endif()
endfunction()
