package evidence

// maxFaults bounds what one check lists; the rest is counted.
const maxFaults = 100
