// Linked into every test and program of a sanitizer build: the sanitizers' options, so that they
// hold however a binary is started, and what they must know about libraries that were not built
// with them. Suppressions are for such libraries only, never for code of this repository.

extern "C" {

const char* __asan_default_options() {
  return "detect_stack_use_after_return=1:check_initialization_order=1";
}
const char* __ubsan_default_options() { return "print_stacktrace=1:halt_on_error=1"; }
// A child of fork() may start threads of its own: what its parent's were doing does not matter to
// it. A process whose main ends has joined its threads: to wait for late ones, a second by default
// and for each of a thousand tests, finds nothing.
const char* __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:die_after_fork=0:atexit_sleep_ms=0";
}

// The packaged gRPC synchronises by means that the thread sanitizer cannot see into: what its own
// code, and the parts of Abseil that it does its work with, do to memory through malloc, free and
// memcpy is not judged. Our accesses are, wherever they run. Three are named by function or
// header, as they are compiled into our binaries too: how gRPC's thread pool moves its work, how
// its headers copy the message of a status that its library has put together, and how Abseil counts
// references to a Status. And protobuf makes its tables once, behind a call_once in its library.
const char* __tsan_default_suppressions() {
  return "called_from_lib:libgrpc.so\n"
         "called_from_lib:libgrpc++.so\n"
         "called_from_lib:libgpr.so\n"
         "called_from_lib:libabsl_cord.so\n"
         "called_from_lib:libabsl_cord_internal.so\n"
         "called_from_lib:libabsl_graphcycles_internal.so\n"
         "called_from_lib:libabsl_malloc_internal.so\n"
         "called_from_lib:libabsl_status.so\n"
         "called_from_lib:libabsl_strings.so\n"
         "called_from_lib:libabsl_synchronization.so\n"
         "called_from_lib:libabsl_time.so\n"
         "called_from_lib:libabsl_time_zone.so\n"
         "race:grpc_event_engine::experimental::ThreadPool::Queue::\n"
         "race:grpc::internal::CallOpClientRecvStatus::FinishOp\n"
         "race:absl/status/status.h\n"
         "race:google::protobuf::internal::AssignDescriptors\n";
}

}  // extern "C"
