// SPDX-License-Identifier: MIT
// A training loader takes labeled and unlabeled pictures; testing pictures have another type.
// expect-gcc: error: no matching function for call to [^ ]*bantam::TrainingLoader::add\(const Pictures&\)
// expect-clang: error: no matching member function for call to 'add'
// expect-cxx26: error: no matching member function for call to 'add'
// without: nvcc
// errors: 1
// with: cxx26
#include <bantam/data/training_loader.hpp>

using namespace bantam;

#ifdef TWIN
using Pictures = UnlabeledPictures;
#else
using Pictures = TestPictures;
#endif

void prepare(TrainingLoader& loader, const Pictures& pictures) { loader.add(pictures); }
