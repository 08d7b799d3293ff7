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

bool succeeds(const std::string& command) { return std::system(command.c_str()) == 0; }

/// The program that tests every exported net, written once.
const std::filesystem::path& program() {
    static const bantam_test::TemporaryFolder folder;
    static const std::filesystem::path path = [] {
        const std::filesystem::path source = folder.path() / "main.cpp";
        {
            std::ofstream includes{folder.path() / "all.hpp"};
            includes << "#include \"deploy/nets.hpp\"\n#include <bantam/deploy/self_test.hpp>\n";
            std::ofstream body{source};
            body << "#include \"all.hpp\"\nusing namespace bantam::deploy;\nstatic std::uint8_t picture[4096];\n";
            export_net<ResidualNet>(folder.path(), "deployed::ResidualNet", "residual", "LineClassifier", includes,
                                    body);
            export_net<BranchingNet>(folder.path(), "deployed::BranchingNet", "branching", "LineClassifier", includes,
                                     body);
            export_net<GatedNet>(folder.path(), "deployed::GatedNet", "gated", "Classifier", includes, body);
            export_net<SmallEnsemble>(folder.path(), "deployed::SmallEnsemble", "ensemble", "LineClassifier", includes,
                                      body);
            body << "int main() { return residual_fails() + 2 * branching_fails() + 4 * gated_fails() + "
                    "8 * ensemble_fails(); }\n";
        }
        return source;
    }();
    return path;
}

/// Compiles the program and runs it, by `emulator` where it is another processor's.
void check(const std::string& compiler, const std::string& options, const std::string& emulator = {}) {
    const std::string tests = BANTAM_TESTS_DIR;
    const std::string executable = program().parent_path() / "main";
    BOOST_REQUIRE(succeeds(compiler + " -std=c++20 " + options + " -I" + tests + " -I" + tests + "/../include " +
                           program().string() + " -o " + executable));
    BOOST_TEST(succeeds(emulator + " " + executable));
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
#endif
BOOST_AUTO_TEST_CASE(aarch64_gives_the_same_bits, *boost::unit_test::precondition(aarch64_is_there)) {
    check("aarch64-linux-gnu-g++", "-O2 -static", "qemu-aarch64");
}
