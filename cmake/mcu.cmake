# What the microcontroller's part is built with.
#
# TANDEM_MCU: images for the microcontroller are built. Fuzzers and TSan need only its portable part.
# TANDEM_BEARSSL: the folder of BearSSL's sources; empty: nothing of bootloader/mcu is built.

find_program(TANDEM_MCU_CXX arm-none-eabi-g++)
find_program(TANDEM_MCU_CC arm-none-eabi-gcc)
find_program(TANDEM_MCU_OBJCOPY arm-none-eabi-objcopy)
find_program(TANDEM_MCU_SIZE arm-none-eabi-size)
set(mcu_default OFF)
if(TANDEM_MCU_CXX AND NOT TANDEM_FUZZ AND NOT TANDEM_SANITIZE MATCHES thread)
  set(mcu_default ON)
endif()
option(TANDEM_MCU "Build the bootloader and the application for the microcontroller" ${mcu_default})
if(NOT TANDEM_MCU_CXX)
  message(STATUS "No arm-none-eabi-g++: the microcontroller's images are not built. tools/setup installs it.")
endif()

if(NOT TANDEM_BEARSSL)
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/tools/source-package bearssl OUTPUT_VARIABLE bearssl_folder
    RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(failed)
    message(WARNING "No sources of BearSSL: bootloader/mcu is not built. tools/setup fetches them.")
    set(bearssl_folder "")
    set(TANDEM_MCU OFF)
  endif()
  set(TANDEM_BEARSSL "${bearssl_folder}" CACHE PATH "BearSSL's sources")
endif()
