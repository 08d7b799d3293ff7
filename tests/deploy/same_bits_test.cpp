// SPDX-License-Identifier: MIT
// int8 gives the same bits whatever the compiler and its optimization: exported headers are compiled by each and test
// themselves.
#define BOOST_TEST_MODULE deploy_same_bits
#include <boost/test/unit_test.hpp>

#include "deployed_nets.hpp"
#include "io/temporary_folder.hpp"

#include <bantam/deploy/export.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

using namespace deployed;

namespace {

/// A header of `Net` in `folder`, and the lines of a program that includes it and tests it.
template <class Net>
void export_net(const std::filesystem::path& folder, const std::string& type, const std::string& name,
                const std::string& classifier, std::ofstream& includes, std::ofstream& body) {
    cpu::Model<Net> model = random_model<Net>(7);
    std::ofstream{folder / (name + ".hpp")}
        << deploy::header_text<Net>(*int8_weights<Net>(model), {.type = type, .includes = {}, .name = name});
    includes << "#include \"" << name << ".hpp\"\n";
    body << "static " << classifier << "<" << name << "::Network, " << name << "::Precision> " << name << "_net{"
         << name << "::weights};\n"
         << "static bool " << name << "_fails() { return !logits_match(test_logits(" << name << "_net";
    if (classifier == "Classifier") body << ", picture";
    body << "), " << name << "::expected_test_logits, bantam::class_count<" << name << "::Network>); }\n";
}

/// The lines of a program that tests an exported net in a batch.
void test_batch(const std::string& name, std::ofstream& body) {
    body << "static bool " << name << "_fails() {\n"
         << "    using Net = " << name << "::Network;\n"
         << "    constexpr int line = bantam::input_shape<Net>.width * bantam::input_shape<Net>.channels;\n"
         << "    for (int y = 0; y < bantam::input_shape<Net>.height; ++y)\n"
         << "        test_picture_line<Net>(y, picture + y * line);\n"
         << "    std::int32_t logits[bantam::class_count<Net>];\n"
         << "    BatchClassifier<Net>{" << name << "::weights}.infer(picture, 1, logits);\n"
         << "    return !logits_match(logits, " << name << "::expected_test_logits, bantam::class_count<Net>);\n}\n";
}

bool succeeds(const std::string& command) { return std::system(command.c_str()) == 0; }

/// The programs that test every exported net, written once: as firmware would, and in batches.
struct Programs {
    bantam_test::TemporaryFolder folder;
    std::filesystem::path one_by_one = folder.path() / "main.cpp";
    std::filesystem::path in_batches = folder.path() / "batches.cpp";

    Programs() {
        const std::string begin =
            "#include \"all.hpp\"\nusing namespace bantam::deploy;\nstatic std::uint8_t picture[4096];\n";
        std::ofstream includes{folder.path() / "all.hpp"};
        includes << "#include \"deploy/nets.hpp\"\n#include <bantam/deploy/self_test.hpp>\n";
        std::ofstream body{one_by_one};
        body << begin;
        export_net<ResidualNet>(folder.path(), "deployed::ResidualNet", "residual", "LineClassifier", includes, body);
        export_net<BranchingNet>(folder.path(), "deployed::BranchingNet", "branching", "LineClassifier", includes,
                                 body);
        export_net<GatedNet>(folder.path(), "deployed::GatedNet", "gated", "Classifier", includes, body);
        export_net<SmallEnsemble>(folder.path(), "deployed::SmallEnsemble", "ensemble", "LineClassifier", includes,
                                  body);
        body << "int main() { return residual_fails() + 2 * branching_fails() + 4 * gated_fails() + "
                "8 * ensemble_fails(); }\n";
        std::ofstream batches{in_batches};
        batches << "#include <bantam/deploy/batch_classifier.hpp>\n" << begin;
        test_batch("residual", batches);
        test_batch("branching", batches);
        batches << "int main() { return residual_fails() + 2 * branching_fails(); }\n";
    }
};

const Programs& programs() {
    static const Programs written;
    return written;
}

/// Compiles a program and runs it, by `emulator` where it is another processor's.
void check_program(const std::filesystem::path& program, const std::string& compiler, const std::string& options,
                   const std::string& emulator = {}) {
    const std::string tests = BANTAM_TESTS_DIR;
    const std::string executable = program.parent_path() / "main";
    const std::string warnings = " -Wall -Wextra -Wconversion -Wsign-conversion -Wold-style-cast -Werror ";
    BOOST_REQUIRE(succeeds(compiler + " -std=c++20 " + options + warnings + " -I" + tests + " -I" + tests +
                           "/../include " + program.string() + " -o " + executable));
    BOOST_TEST(succeeds(emulator + " " + executable));
}
void check(const std::string& compiler, const std::string& options, const std::string& emulator = {}) {
    check_program(programs().one_by_one, compiler, options, emulator);
}
void check_batches(const std::string& compiler, const std::string& options, const std::string& emulator = {}) {
    check_program(programs().in_batches, compiler, options, emulator);
}

boost::test_tools::assertion_result aarch64_is_there(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result there{succeeds("aarch64-linux-gnu-g++ --version > /dev/null 2>&1") &&
                                              succeeds("qemu-aarch64 --version > /dev/null 2>&1")};
    there.message() << "a compiler or an emulator of aarch64 is missing; install g++-aarch64-linux-gnu and qemu-user";
    return there;
}

boost::test_tools::assertion_result clang_is_there(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result there{succeeds("clang++-19 --version > /dev/null 2>&1")};
    there.message() << "clang++-19 is missing; install clang-19";
    return there;
}

}  // namespace

BOOST_AUTO_TEST_CASE(gcc_without_optimization_gives_the_same_bits) { check("g++", "-O0"); }
BOOST_AUTO_TEST_CASE(gcc_with_optimization_gives_the_same_bits) { check("g++", "-O3 -march=native"); }
BOOST_AUTO_TEST_CASE(code_without_exceptions_or_rtti_gives_the_same_bits) {
    check("g++", "-Os -fno-exceptions -fno-rtti -fsanitize=undefined -fno-sanitize-recover=all");
}
BOOST_AUTO_TEST_CASE(clang_without_optimization_gives_the_same_bits, *boost::unit_test::precondition(clang_is_there)) {
    check("clang++-19", "-O0");
}
BOOST_AUTO_TEST_CASE(clang_with_optimization_gives_the_same_bits, *boost::unit_test::precondition(clang_is_there)) {
    check("clang++-19", "-O3 -march=native");
}
#if defined(__x86_64__)
BOOST_AUTO_TEST_CASE(vectors_of_128_bits_give_the_same_bits) { check("g++", "-O2 -mno-avx"); }

boost::test_tools::assertion_result avx2_is_there(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result there{__builtin_cpu_supports("avx2") != 0};
    there.message() << "this processor has no AVX2";
    return there;
}
BOOST_AUTO_TEST_CASE(batches_with_avx2_give_the_same_bits, *boost::unit_test::precondition(avx2_is_there)) {
    check_batches("g++", "-O1 -march=x86-64 -mavx2 -pthread");
}
#endif
BOOST_AUTO_TEST_CASE(batches_with_dot_products_of_arm_give_the_same_bits,
                     *boost::unit_test::precondition(aarch64_is_there)) {
    check_batches("aarch64-linux-gnu-g++", "-O1 -static -march=armv8.2-a+dotprod", "qemu-aarch64");
}
BOOST_AUTO_TEST_CASE(aarch64_gives_the_same_bits, *boost::unit_test::precondition(aarch64_is_there)) {
    check("aarch64-linux-gnu-g++", "-O2 -static", "qemu-aarch64");
}
