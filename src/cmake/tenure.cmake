# How Tenure's own targets are made. Four functions:
#
#   tenure_floor(<name> [SOURCES ...] [DEPS ...] [PART <part>])
#       One floor of the library, as target tenure_<name>. DEPS are other floors and outside libraries.
#       PART names the installed library that carries it: tenure (default), grpc, sqlite, etcd, testing
#       or all. A floor of a part that is not built is skipped.
#   tenure_program(<name> [SOURCES ...] [DEPS ...] [INSTALL])
#       An executable, bin/<name> in the build tree, as target <name>_program.
#   tenure_test(<name> [SOURCES ...] [DEPS ...] [LABELS ...] [TIMEOUT <seconds>] [RUN_SERIAL])
#       A GoogleTest binary, every case of it known to ctest. LABELS default to `unit`.
#   tenure_parts()
#       Called once, after all floors: makes the libraries that are installed, and their install rules.
#
# A floor is a static library, so that a test can link one floor and what lies below it, and nothing
# else. Floors are not installed: the parts are made from the floors' objects.

include(CMakePackageConfigHelpers)

set(TENURE_PARTS tenure grpc sqlite etcd all testing)

# Parts that a given configuration does not build. The etcd part appears with its floor.
function(_tenure_part_built part result)
  set(${result} TRUE PARENT_SCOPE)
  if(part STREQUAL "grpc" AND NOT TENURE_BUILD_GRPC)
    set(${result} FALSE PARENT_SCOPE)
  elseif(part STREQUAL "sqlite" AND NOT TENURE_BUILD_SQLITE)
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

# Warnings and sanitizers, for everything that is compiled here.
add_library(tenure_build_flags INTERFACE)
target_compile_features(tenure_build_flags INTERFACE cxx_std_20)
target_compile_options(tenure_build_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  # Designated initialisers that leave the rest at their defaults are how options are passed.
  -Wno-missing-field-initializers
  $<$<BOOL:${TENURE_WARNINGS_AS_ERRORS}>:-Werror>
  # GCC 12 sees overlapping copies in std::string operator+ that are not there (its PR 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
if(TENURE_SANITIZE STREQUAL "address")
  target_compile_options(tenure_build_flags INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=all
    # Instrumented code confuses GCC's flow analysis.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(tenure_build_flags INTERFACE -fsanitize=address,undefined)
elseif(TENURE_SANITIZE STREQUAL "thread")
  target_compile_options(tenure_build_flags INTERFACE -fsanitize=thread)
  target_link_options(tenure_build_flags INTERFACE -fsanitize=thread)
elseif(TENURE_SANITIZE)
  message(FATAL_ERROR "TENURE_SANITIZE is '${TENURE_SANITIZE}'; use address, thread or nothing")
endif()

# What precompiled headers need to be alike in all targets.
function(_tenure_alike target)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC -pthread)
endfunction()
function(tenure_precompiled target)
  if(TENURE_PRECOMPILE)
    _tenure_alike(${target})
    target_precompile_headers(${target} REUSE_FROM tenure_precompiled)
  endif()
endfunction()

# One header for all targets, precompiled, where the preset asks for it: most of what an unoptimised
# compilation does is reading the same headers again. The other presets go without, and so keep every
# file's includes complete.
if(TENURE_PRECOMPILE)
  find_package(GTest CONFIG REQUIRED)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/precompiled.cc
    CONTENT "// Gives the precompiled header a target.\n")
  add_library(tenure_precompiled OBJECT ${PROJECT_BINARY_DIR}/precompiled.cc)
  target_include_directories(tenure_precompiled PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(tenure_precompiled PRIVATE tenure_build_flags GTest::gmock absl::any_invocable
    absl::btree absl::flat_hash_map absl::statusor absl::strings absl::time)
  target_precompile_headers(tenure_precompiled PRIVATE ${PROJECT_SOURCE_DIR}/tests/precompiled.h)
  _tenure_alike(tenure_precompiled)
endif()

function(tenure_floor name)
  cmake_parse_arguments(PARSE_ARGV 1 FLOOR "" "PART" "SOURCES;DEPS")
  if(FLOOR_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tenure_floor(${name}): what is '${FLOOR_UNPARSED_ARGUMENTS}'?")
  endif()
  if(NOT FLOOR_PART)
    set(FLOOR_PART tenure)
  endif()
  if(NOT FLOOR_PART IN_LIST TENURE_PARTS)
    message(FATAL_ERROR "tenure_floor(${name}): PART is one of ${TENURE_PARTS}")
  endif()
  _tenure_part_built(${FLOOR_PART} built)
  if(NOT built)
    return()
  endif()

  set(target tenure_${name})
  if(FLOOR_SOURCES)
    add_library(${target} STATIC ${FLOOR_SOURCES})
    # A floor may be called like a part; their archives do not meet.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_EXTENSIONS OFF
      ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/floors)
    set(scope PUBLIC)
    target_link_libraries(${target} PRIVATE tenure_build_flags)
    tenure_precompiled(${target})
    if(TENURE_BUILD_GRPC)
      target_compile_definitions(${target} PRIVATE TENURE_WITH_GRPC=1)
    endif()
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_compile_features(${target} ${scope} cxx_std_20)
  target_include_directories(${target} ${scope} ${PROJECT_SOURCE_DIR}/include
    ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${target} ${scope} ${FLOOR_DEPS})
  set_property(GLOBAL APPEND PROPERTY TENURE_FLOORS_OF_${FLOOR_PART} ${target})
endfunction()

# Sets <sources> to the objects of a part's floors and <outside> to the libraries they need from outside.
function(_tenure_collect part sources outside)
  get_property(floors GLOBAL PROPERTY TENURE_FLOORS_OF_${part})
  set(objects)
  set(libraries)
  foreach(floor IN LISTS floors)
    get_target_property(type ${floor} TYPE)
    get_target_property(deps ${floor} INTERFACE_LINK_LIBRARIES)
    if(NOT type STREQUAL "INTERFACE_LIBRARY")
      list(APPEND objects $<TARGET_OBJECTS:${floor}>)
      get_target_property(deps ${floor} LINK_LIBRARIES)
    endif()
    foreach(dep IN LISTS deps)
      if(dep AND NOT dep MATCHES "^tenure" AND NOT dep MATCHES "\\$<")
        list(APPEND libraries ${dep})
      endif()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES libraries)
  set(${sources} ${objects} PARENT_SCOPE)
  set(${outside} ${libraries} PARENT_SCOPE)
endfunction()

# One installed library. `ON` are parts that it stands on.
function(_tenure_part part)
  cmake_parse_arguments(PARSE_ARGV 1 PART "" "DESCRIPTION" "ON")
  _tenure_part_built(${part} built)
  _tenure_collect(${part} sources outside)
  if(NOT built OR (NOT sources AND NOT part STREQUAL "all"))
    return()
  endif()

  set(target tenure_part_${part})
  set(file tenure_${part})
  set(package tenure-${part})
  if(part STREQUAL "tenure")
    set(file tenure)
    set(package tenure)
  endif()
  if(sources)
    add_library(${target} STATIC ${sources})
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX OUTPUT_NAME ${file})
    set(scope PUBLIC)
    set(libs "-L\${libdir} -l${file}")
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
    set(libs "")
  endif()
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${part})
  target_compile_features(${target} ${scope} cxx_std_20)
  target_include_directories(${target} ${scope}
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  add_library(tenure::${part} ALIAS ${target})
  # The file's name is a target's name too, unless a floor or a program has taken it.
  if(NOT TARGET ${file})
    add_library(${file} ALIAS ${target})
  endif()

  # Outside libraries: those that public headers speak (Abseil) belong to the interface, the others are
  # only linked.
  set(requires)
  foreach(below IN LISTS PART_ON)
    if(TARGET tenure_part_${below})
      target_link_libraries(${target} ${scope} tenure_part_${below})
      if(below STREQUAL "tenure")
        list(APPEND requires tenure)
      else()
        list(APPEND requires tenure-${below})
      endif()
    endif()
  endforeach()
  foreach(library IN LISTS outside)
    if(library MATCHES "^absl::(.*)$")
      target_link_libraries(${target} ${scope} ${library})
      list(APPEND requires absl_${CMAKE_MATCH_1})
    else()
      if(scope STREQUAL "PUBLIC")
        target_link_libraries(${target} PRIVATE ${library})
      else()
        target_link_libraries(${target} INTERFACE ${library})
      endif()
      if(library STREQUAL "protobuf::libprotobuf")
        list(APPEND requires protobuf)
      elseif(library STREQUAL "gRPC::grpc++")
        list(APPEND requires grpc++)
      elseif(library STREQUAL "Threads::Threads")
        string(APPEND libs " -pthread")
      elseif(library STREQUAL "OpenSSL::Crypto")
        list(APPEND requires libcrypto)
      elseif(library STREQUAL "SQLite::SQLite3")
        list(APPEND requires sqlite3)
      else()
        message(FATAL_ERROR
          "Part ${part} needs ${library}: say in src/cmake/tenure.cmake how pkg-config and "
          "src/cmake/tenureConfig.cmake.in find it")
      endif()
    endif()
  endforeach()

  # All that is installed are static libraries, so what they need is required outright: a plain
  # `pkg-config --libs` suffices.
  list(JOIN requires " " TENURE_PC_REQUIRES)
  set(TENURE_PC_NAME ${package})
  set(TENURE_PC_DESCRIPTION "${PART_DESCRIPTION}")
  set(TENURE_PC_LIBS "${libs}")
  # From <libdir>/pkgconfig back to the prefix, so that an installed tree can be moved.
  file(RELATIVE_PATH TENURE_PC_PREFIX /p/${CMAKE_INSTALL_LIBDIR}/pkgconfig /p)
  configure_file(${PROJECT_SOURCE_DIR}/src/cmake/tenure.pc.in
    ${PROJECT_BINARY_DIR}/package/${package}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/${package}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  install(TARGETS ${target} EXPORT tenure-${part} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT tenure-${part} NAMESPACE tenure:: FILE tenure-${part}-targets.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tenure)
endfunction()

function(tenure_parts)
  _tenure_part(tenure DESCRIPTION "Locks, elections and idempotency; local and replicated in process")
  _tenure_part(grpc ON tenure DESCRIPTION "Tenure's gRPC transport and remote backend")
  _tenure_part(sqlite ON tenure DESCRIPTION "Tenure's durable storage on SQLite")
  _tenure_part(etcd ON tenure DESCRIPTION "Tenure on an etcd that is already there")
  _tenure_part(all ON grpc sqlite etcd tenure DESCRIPTION "All parts of Tenure that were built")
  _tenure_part(testing ON tenure DESCRIPTION "A simulated Tenure cluster for tests")

  # Headers: an optional part's directory goes only with the part.
  set(exclude)
  foreach(part IN ITEMS grpc sqlite etcd testing)
    if(NOT TARGET tenure_part_${part})
      list(APPEND exclude PATTERN "tenure/${part}" EXCLUDE)
    endif()
  endforeach()
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/tenure DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h" ${exclude})

  configure_package_config_file(${PROJECT_SOURCE_DIR}/src/cmake/tenureConfig.cmake.in
    ${PROJECT_BINARY_DIR}/package/tenureConfig.cmake
    INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tenure
    NO_SET_AND_CHECK_MACRO)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/tenureConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/package/tenureConfig.cmake
    ${PROJECT_BINARY_DIR}/package/tenureConfigVersion.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/tenure)
endfunction()

# What every executable here has: flags, include roots, and under a sanitizer its options.
function(_tenure_executable target)
  cmake_parse_arguments(PARSE_ARGV 1 EXE "" "" "SOURCES;DEPS")
  add_executable(${target} ${EXE_SOURCES})
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target} PRIVATE tenure_build_flags ${EXE_DEPS})
  tenure_precompiled(${target})
  if(TENURE_BUILD_GRPC)
    target_compile_definitions(${target} PRIVATE TENURE_WITH_GRPC=1)
  endif()
  if(TENURE_SANITIZE AND EXISTS ${PROJECT_SOURCE_DIR}/tests/sanitizers.cc)
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/sanitizers.cc)
  endif()
endfunction()

function(tenure_program name)
  cmake_parse_arguments(PARSE_ARGV 1 PROGRAM "INSTALL" "" "SOURCES;DEPS")
  set(target ${name}_program)
  _tenure_executable(${target} SOURCES ${PROGRAM_SOURCES} DEPS ${PROGRAM_DEPS})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name})
  if(PROGRAM_INSTALL)
    install(TARGETS ${target} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endfunction()

function(tenure_test name)
  cmake_parse_arguments(PARSE_ARGV 1 TEST "RUN_SERIAL" "TIMEOUT" "SOURCES;DEPS;LABELS")
  if(NOT TENURE_BUILD_TESTS)
    return()
  endif()
  if(NOT TEST_LABELS)
    set(TEST_LABELS unit)
  endif()
  if(TENURE_SANITIZE STREQUAL "thread" AND TENURE_TESTS_WITHOUT_THREADS)
    list(REMOVE_ITEM TEST_LABELS unit)
    list(APPEND TEST_LABELS no_threads)
  endif()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 60)
  endif()
  if(TENURE_SANITIZE)
    math(EXPR TEST_TIMEOUT "${TEST_TIMEOUT} * 4")
  endif()
  _tenure_executable(${name} SOURCES ${TEST_SOURCES} DEPS ${TEST_DEPS} GTest::gmock_main)
  # For tests that read data files or start programs.
  target_compile_definitions(${name} PRIVATE
    TENURE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" TENURE_BIN_DIR="${PROJECT_BINARY_DIR}/bin")
  if("unit" IN_LIST TEST_LABELS)
    add_dependencies(unit_tests ${name})
  endif()
  # Several processes on few cores: such tests run alone, so that time means something in them.
  if("process" IN_LIST TEST_LABELS OR TEST_RUN_SERIAL)
    set(serial RUN_SERIAL ON)
  endif()
  list(JOIN TEST_LABELS "\\;" labels)
  # ctest knows tests by name alone: two binaries may have cases of one name.
  gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    PROPERTIES LABELS "${labels}" TIMEOUT ${TEST_TIMEOUT} ${serial})
endfunction()
