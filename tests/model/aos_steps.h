// The steps of an Aos 8 Update Manager, as far as CM can see them: silent on a command that does not fit, IDLE without
// a word while it prepares, IDLE again after a crash in it, and IDLE after Apply and Revert whether they failed or not.
#ifndef TANDEM_TESTS_MODEL_AOS_STEPS_H_
#define TANDEM_TESTS_MODEL_AOS_STEPS_H_

#include <optional>

#include "um/um_state.h"

namespace tandem::model {

std::optional<um::UmTransition> FindAosTransition(um::UmStep step, um::UmInput input);

}  // namespace tandem::model

#endif  // TANDEM_TESTS_MODEL_AOS_STEPS_H_
