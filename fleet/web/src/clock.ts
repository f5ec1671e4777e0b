// The controller's time: this computer's clock may be wrong, and deadlines are the controller's.
const kTolerated = 2;
let ahead = 0;

export function setControllerTime(seconds: number) {
  const difference = seconds - Date.now() / 1000;
  ahead = Math.abs(difference) > kTolerated ? difference : 0;
}

// Seconds since 1970.
export const now = () => Date.now() / 1000 + ahead;
